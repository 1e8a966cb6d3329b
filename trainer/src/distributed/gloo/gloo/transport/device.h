// Stands for the header of gloo that the wheel of libtorch lacks: devices are made by libtorch and only passed on.

#pragma once

namespace gloo::transport {
class Device;
}
