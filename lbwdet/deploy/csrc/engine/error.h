#pragma once

#include <exception>
#include <stdexcept>

namespace lbw {

// A message for the user, who gave something that cannot be done.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Cancelled : std::exception {
  const char* what() const noexcept override { return "cancelled"; }
};

}  // namespace lbw
