// The C interface at the end of two pipes: for an engine that the Python at hand cannot load,
// of another CPU's, say, which an emulator runs. Its other end: tests/deploy/csrc/remote.py.
//
// A call is the function's name and its arguments, each of 8 bytes; what a pointer points to is a
// count of 8 bytes, then the bytes (-1: NULL). The answer is the result, and what the function wrote.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

#include "../lbw.h"

namespace {

// Exits where nobody calls any more.
void read(void* to, std::size_t count) {
  if (count > 0 && std::fread(to, 1, count, stdin) != count) std::exit(0);
}

std::int64_t number() {
  std::int64_t value;
  read(&value, sizeof value);
  return value;
}

std::int32_t integer() { return static_cast<std::int32_t>(number()); }

lbw_engine* engine() { return reinterpret_cast<lbw_engine*>(number()); }

struct Bytes {
  bool null;
  std::vector<char> content;
  const char* data() const { return null ? nullptr : content.data(); }
};

Bytes bytes() {
  const std::int64_t count = number();
  Bytes found{count < 0, std::vector<char>(count < 0 ? 0 : count)};
  read(found.content.data(), found.content.size());
  return found;
}

// Terminated.
Bytes text() {
  Bytes found = bytes();
  found.content.push_back('\0');
  return found;
}

void answer(const void* data, std::size_t count) { std::fwrite(data, 1, count, stdout); }

void answer(std::int64_t value) { answer(&value, sizeof value); }

void answer(const char* text) {
  answer(text == nullptr ? -1 : static_cast<std::int64_t>(std::strlen(text)));
  if (text != nullptr) answer(text, std::strlen(text));
}

template <typename T>
void answer(const std::vector<T>& array) {
  answer(array.data(), array.size() * sizeof(T));
}

void add() {
  lbw_engine* const to = engine();
  const Bytes operation = text();
  const std::int64_t count = number();
  std::vector<Bytes> names, arrays;
  std::vector<lbw_field> fields(count);
  for (lbw_field& field : fields) {
    names.push_back(text());
    field.kind = integer();
    field.count = number();
    arrays.push_back(bytes());
  }
  for (std::int64_t i = 0; i < count; ++i) {
    fields[i].name = names[i].data();
    fields[i].data = arrays[i].data();
  }
  answer(lbw_add(to, operation.data(), fields.data(), static_cast<std::int32_t>(count)));
}

void result() {
  lbw_engine* const of = engine();
  const std::int32_t capacity = integer();
  std::vector<float> boxes(4 * capacity), scores(capacity);
  std::vector<std::int64_t> labels(capacity);
  answer(lbw_result(of, capacity, boxes.data(), scores.data(), labels.data()));
  answer(boxes);
  answer(scores);
  answer(labels);
}

void mask() {
  lbw_engine* const of = engine();
  const std::int32_t i = integer();
  std::vector<std::uint32_t> runs(number());
  answer(lbw_mask(of, i, static_cast<std::int64_t>(runs.size()), runs.data()));
  answer(runs);
}

void call(const std::string& name) {
  if (name == "lbw_abi") {
    answer(lbw_abi());
  } else if (name == "lbw_last_error") {
    answer(lbw_last_error());
  } else if (name == "lbw_isa_name") {
    answer(lbw_isa_name(integer()));
  } else if (name == "lbw_isa_supported") {
    answer(lbw_isa_supported(integer()));
  } else if (name == "lbw_create") {
    const Bytes isa = text();
    const std::int32_t threads = integer();
    const std::int64_t memory = number(), work = number();
    answer(reinterpret_cast<std::int64_t>(lbw_create(isa.data(), threads, memory, work)));
  } else if (name == "lbw_destroy") {
    lbw_destroy(engine());
    answer(std::int64_t{0});
  } else if (name == "lbw_isa") {
    answer(lbw_isa(engine()));
  } else if (name == "lbw_add_value") {
    lbw_engine* const to = engine();
    std::int32_t described[5];
    for (std::int32_t& entry : described) entry = integer();
    answer(lbw_add_value(to, described[0], described[1], described[2], described[3],
                         described[4]));
  } else if (name == "lbw_add") {
    add();
  } else if (name == "lbw_run") {
    lbw_engine* const of = engine();
    const Bytes image = bytes();
    const std::int32_t height = integer(), width = integer(), keep = integer();
    const auto* pixels = reinterpret_cast<const std::uint8_t*>(image.data());
    answer(lbw_run(of, pixels, height, width, keep));
  } else if (name == "lbw_result") {
    result();
  } else if (name == "lbw_mask") {
    mask();
  } else if (name == "lbw_value_shape") {
    lbw_engine* const of = engine();
    std::vector<std::int64_t> shape(4);
    answer(lbw_value_shape(of, integer(), shape.data()));
    answer(shape);
  } else if (name == "lbw_value") {
    lbw_engine* const of = engine();
    const std::int32_t value = integer();
    std::vector<char> content(number());  // as many bytes as the caller has room for
    answer(lbw_value(of, value, content.data()));
    answer(content);
  } else {
    std::fprintf(stderr, "there is no function %s\n", name.c_str());
    std::exit(1);
  }
}

}  // namespace

int main() {
#if defined(_WIN32)
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
#endif
  for (;;) {
    const Bytes name = text();
    call(name.data());
    std::fflush(stdout);
  }
}
