// How a host run ends when a kernel does what it must not.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace host {

// A place in a kernel's source.
struct Site {
    const char* file;
    int line;
    bool operator==(const Site& other) const { return file == other.file && line == other.line; }
};

// Exit statuses: a kernel was at fault; the script was.
constexpr int KERNEL_FAULT = 3;
constexpr int SCRIPT_FAULT = 2;

// Where the running thread is, for the message.
const char* position();

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fault(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fprintf(stderr, "fault: ");
    std::vfprintf(stderr, format, arguments);
    std::fprintf(stderr, "%s\n", position());
    va_end(arguments);
    std::_Exit(KERNEL_FAULT);
}

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void script_fault(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fprintf(stderr, "script: ");
    std::vfprintf(stderr, format, arguments);
    std::fprintf(stderr, "\n");
    va_end(arguments);
    std::_Exit(SCRIPT_FAULT);
}

// 1 at the mutation that the environment variable DUALNET_MUTATION names, 0 elsewhere: the tests write calls of it into copies of the
// kernels.
inline int mutated(int site) {
    static const char* const chosen = std::getenv("DUALNET_MUTATION");
    static const int active = chosen == nullptr ? -1 : std::atoi(chosen);
    return site == active ? 1 : 0;
}

}  // namespace host
