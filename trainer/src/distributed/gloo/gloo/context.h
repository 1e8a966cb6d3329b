// Stands for the header of gloo that the wheel of libtorch lacks: the names that ProcessGroupGloo.hpp mentions, never defined or used here.

#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {
class UnboundBuffer;
}

}  // namespace gloo
