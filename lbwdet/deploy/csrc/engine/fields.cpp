#include "fields.h"

#include <algorithm>
#include <cstring>

namespace lbw {
namespace {

[[noreturn]] void fail(const char* name, const std::string& problem) {
  throw Error(std::string("the field '") + name + "' " + problem);
}

void expect_count(const char* name, std::size_t found, std::size_t wanted) {
  if (found != wanted)
    fail(name, "has " + std::to_string(found) + " entries; it takes " + std::to_string(wanted));
}

}  // namespace

const lbw_field* Fields::find(const char* name) const {
  const auto end = fields_ + count_;
  const auto found = std::find_if(fields_, end, [&](const lbw_field& field) {
    return field.name != nullptr && std::strcmp(field.name, name) == 0;
  });
  return found == end ? nullptr : found;
}

template <class T>
View<T> Fields::view(const char* name, int kind, const char* what) const {
  const lbw_field* const field = find(name);
  if (field == nullptr) fail(name, "is missing");
  if (field->count == 0) return {nullptr, 0};  // of nothing, the kind does not matter
  if (field->kind != kind) fail(name, std::string("does not hold ") + what);
  if (field->count < 0 || field->data == nullptr) fail(name, "has no data");
  return {static_cast<const T*>(field->data), static_cast<std::size_t>(field->count)};
}

bool Fields::has(const char* name) const {
  const lbw_field* const field = find(name);
  return field != nullptr && field->count != 0;
}

View<std::int32_t> Fields::integers(const char* name) const {
  return view<std::int32_t>(name, LBW_INT32, "integers");
}

View<std::int8_t> Fields::int8s(const char* name) const {
  return view<std::int8_t>(name, LBW_INT8, "integers of 8 bits");
}

View<std::uint8_t> Fields::bytes(const char* name) const {
  return view<std::uint8_t>(name, LBW_UINT8, "bytes");
}

View<std::uint8_t> Fields::bytes(const char* name, std::size_t count) const {
  const auto found = bytes(name);
  expect_count(name, found.size, count);
  return found;
}

std::vector<float> Fields::floats(const char* name) const {
  const lbw_field* const field = find(name);
  if (field != nullptr && field->kind == LBW_INT32) {  // whole numbers stand for reals, too
    const auto found = integers(name);
    std::vector<float> reals;
    for (const std::int32_t number : found) reals.push_back(static_cast<float>(number));
    return reals;
  }
  const auto found = view<float>(name, LBW_FLOAT32, "real numbers");
  return {found.begin(), found.end()};
}

std::vector<float> Fields::floats(const char* name, std::size_t count) const {
  auto found = floats(name);
  expect_count(name, found.size(), count);
  return found;
}

int Fields::integer(const char* name) const {
  const auto found = integers(name);
  expect_count(name, found.size, 1);
  return found.data[0];
}

float Fields::real(const char* name) const { return floats(name, 1)[0]; }

Pair Fields::pair(const char* name) const {
  const auto found = integers(name);
  expect_count(name, found.size, 2);
  return {found.data[0], found.data[1]};
}

std::string Fields::text(const char* name) const {
  const auto found = view<char>(name, LBW_TEXT, "text");
  return {found.data, found.size};
}

std::vector<int> Fields::values(const char* name, Kind kind) const {
  const auto found = view<std::int32_t>(name, LBW_VALUE, "values");
  for (const std::int32_t value : found) {
    if (value < 0 || value >= static_cast<std::int64_t>(values_.size()))
      fail(name, "names a value that does not exist");
    if (kind != Kind::map && values_[value].is_float != (kind == Kind::floats))
      fail(name, kind == Kind::floats ? "names a uint8 map; it takes a float one"
                                      : "names a float map; it takes one of uint8");
  }
  return {found.begin(), found.end()};
}

int Fields::value(const char* name, Kind kind) const {
  const auto found = values(name, kind);
  expect_count(name, found.size(), 1);
  return found[0];
}

}  // namespace lbw
