// The instruction sets of this build. One file each, beside this one: it holds the vector types,
// includes the inner loops, and registers itself; nothing else lists instruction sets.
#pragma once

#include <string>
#include <vector>

namespace lbw {

struct Loops;  // see ../vector/loops.h
namespace conv {
struct Kernel;  // see ../conv/kernel.h
}

struct Isa {
  const char* name;
  int speed;            // of those that a CPU has, the one with the greatest is taken
  bool (*supported)();  // by this CPU
  const conv::Kernel* kernel;
  const Loops* loops;
};

// A static object of this type adds an instruction set to the list.
struct RegisteredIsa {
  explicit RegisteredIsa(const Isa& isa);
};

// Slowest first.
const std::vector<Isa>& instruction_sets();
const Isa& fastest_isa();  // of those that this CPU has

// The one of this name. Throws std::invalid_argument if it is not known, or not supported.
const Isa& isa_named(const std::string& name);

}  // namespace lbw
