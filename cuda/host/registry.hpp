// The kernels of a host program by name, and how the words of a script become their arguments.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "memory.hpp"

namespace host {

// One argument of a launch: memory, or a number.
struct Argument {
    Buffer* buffer = nullptr;
    i64 offset = 0;
    i64 whole = 0;
    f64 real = 0;
    // The type the script gave it, such as `i32`; `memory` for a buffer.
    std::string type;
};

struct Kernel {
    i32 threads;
    std::function<std::function<void()>(const std::vector<Argument>&)> bind;
};

std::map<std::string, Kernel>& kernels();

template <class T>
struct Convert;
template <class T>
struct Convert<Memory<T>> {
    static Memory<T> from(const Argument& argument) {
        if (argument.buffer == nullptr) {
            script_fault("a number stands where the kernel takes memory");
        }
        return {argument.buffer, argument.offset};
    }
};
template <class T>
T number(const Argument& argument, const char* type) {
    if (argument.type != type) {
        script_fault("%s stands where the kernel takes %s", argument.type.c_str(), type);
    }
    return std::is_integral_v<T> ? static_cast<T>(argument.whole) : static_cast<T>(argument.real);
}
template <>
struct Convert<i32> {
    static i32 from(const Argument& argument) { return number<i32>(argument, "i32"); }
};
template <>
struct Convert<i64> {
    static i64 from(const Argument& argument) { return number<i64>(argument, "i64"); }
};
template <>
struct Convert<f32> {
    static f32 from(const Argument& argument) { return number<f32>(argument, "f32"); }
};

class Registration {
  public:
    template <class... Parameters>
    Registration(const char* name, i32 threads, void (*kernel)(Parameters...)) {
        kernels()[name] = {threads, [kernel](const std::vector<Argument>& arguments) -> std::function<void()> {
            if (arguments.size() != sizeof...(Parameters)) {
                script_fault("the kernel takes %zu arguments, not %zu", sizeof...(Parameters), arguments.size());
            }
            return bound(kernel, arguments, std::index_sequence_for<Parameters...>());
        }};
    }

  private:
    template <class... Parameters, size_t... Index>
    static std::function<void()> bound(
        void (*kernel)(Parameters...), const std::vector<Argument>& arguments, std::index_sequence<Index...>
    ) {
        const std::tuple<Parameters...> values(Convert<Parameters>::from(arguments[Index])...);
        return [kernel, values] { std::apply(kernel, values); };
    }
};

}  // namespace host
