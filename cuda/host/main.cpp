// Runs a script of launches on standard input against the kernels that are linked in. Files hold raw little-endian elements.
//
//   seed N                                    of the order of blocks and threads
//   input NAME ELEMENT_BYTES FILE             memory that holds a file
//   output NAME ELEMENT_BYTES COUNT           memory that holds poison
//   launch KERNEL GRID ROWS THREADS DYNAMIC_BYTES ARGUMENT…
//                                             an argument is NAME, NAME+OFFSET (in elements), i32:N, i64:N or f32:N
//   together …                                the same, all blocks at the same time
//   save NAME FIRST COUNT FILE                elements that must all have been written
//   unwritten NAME FIRST COUNT                elements that no kernel may have written
//
// Exit status: 0, 2 when the script is at fault, 3 when a kernel is.
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "registry.hpp"
#include "scheduler.hpp"

namespace host {

std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

namespace {

std::map<std::string, std::unique_ptr<Buffer>> buffers;
u64 seed = 0;

Buffer& buffer_of(const std::string& name) {
    const auto found = buffers.find(name);
    if (found == buffers.end()) {
        script_fault("no memory is called %s", name.c_str());
    }
    return *found->second;
}

template <class T>
T word(std::istringstream& line) {
    T value;
    if (!(line >> value)) {
        script_fault("a line is too short: %s", line.str().c_str());
    }
    return value;
}

Argument argument(const std::string& text) {
    Argument result;
    const size_t colon = text.find(':');
    if (colon != std::string::npos) {
        result.type = text.substr(0, colon);
        const std::string number = text.substr(colon + 1);
        if (result.type == "f32") {
            result.real = std::stod(number);
        } else {
            result.whole = std::stoll(number);
        }
        return result;
    }
    const size_t plus = text.find('+');
    result.type = "memory";
    result.buffer = &buffer_of(text.substr(0, plus));
    if (plus != std::string::npos) {
        result.offset = std::stoll(text.substr(plus + 1));
    }
    return result;
}

void input(std::istringstream& line) {
    const std::string name = word<std::string>(line);
    const i64 element_bytes = word<i64>(line);
    const std::string path = word<std::string>(line);
    std::ifstream file(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file || bytes.size() % static_cast<size_t>(element_bytes) != 0) {
        script_fault("%s holds no elements of %lld bytes", path.c_str(), static_cast<long long>(element_bytes));
    }
    auto buffer = std::make_unique<Buffer>(name, element_bytes, static_cast<i64>(bytes.size()) / element_bytes);
    std::memcpy(buffer->bytes(), bytes.data(), bytes.size());
    buffer->set_initialized();
    buffers[name] = std::move(buffer);
}

void output(std::istringstream& line) {
    const std::string name = word<std::string>(line);
    const i64 element_bytes = word<i64>(line);
    const i64 count = word<i64>(line);
    buffers[name] = std::make_unique<Buffer>(name, element_bytes, count);
}

void launch(std::istringstream& line, bool together) {
    const std::string name = word<std::string>(line);
    Geometry geometry;
    geometry.grid = word<i32>(line);
    geometry.rows = word<i32>(line);
    geometry.threads = word<i32>(line);
    geometry.dynamic_bytes = word<i64>(line);
    geometry.together = together;
    std::vector<Argument> arguments;
    for (std::string text; line >> text;) {
        arguments.push_back(argument(text));
    }
    const auto kernel = kernels().find(name);
    if (kernel == kernels().end()) {
        script_fault("no kernel is called %s", name.c_str());
    }
    if (geometry.grid < 1 || geometry.rows < 1 || geometry.threads != kernel->second.threads) {
        script_fault("%s runs with %d threads on a grid that is not empty", name.c_str(), kernel->second.threads);
    }
    run(geometry, seed, kernel->second.bind(arguments));
}

// The part of a buffer that a line names; all of its elements must have been written, or none.
Buffer& part(std::istringstream& line, bool written, i64& first, i64& count) {
    Buffer& buffer = buffer_of(word<std::string>(line));
    first = word<i64>(line);
    count = word<i64>(line);
    if (first < 0 || count < 0 || first + count > buffer.count()) {
        script_fault("%s has no such part", buffer.name().c_str());
    }
    for (i64 index = first; index < first + count; ++index) {
        if (buffer.is_initialized(index) != written) {
            fault("%s[%lld] was %s", buffer.name().c_str(), static_cast<long long>(index), written ? "never written" : "written");
        }
    }
    return buffer;
}

void save(std::istringstream& line) {
    i64 first = 0, count = 0;
    Buffer& buffer = part(line, true, first, count);
    const std::string path = word<std::string>(line);
    std::ofstream file(path, std::ios::binary);
    const i64 bytes = buffer.element_bytes();
    file.write(reinterpret_cast<const char*>(buffer.bytes() + first * bytes), count * bytes);
    if (!file.flush()) {
        script_fault("%s cannot be written", path.c_str());
    }
}

int run_script() {
    for (std::string text; std::getline(std::cin, text);) {
        std::istringstream line(text);
        const std::string command = word<std::string>(line);
        if (command == "seed") {
            seed = word<u64>(line);
        } else if (command == "input") {
            input(line);
        } else if (command == "output") {
            output(line);
        } else if (command == "launch" || command == "together") {
            launch(line, command == "together");
        } else if (command == "save") {
            save(line);
        } else if (command == "unwritten") {
            i64 first = 0, count = 0;
            part(line, false, first, count);
        } else {
            script_fault("no command is called %s", command.c_str());
        }
    }
    return 0;
}

}  // namespace
}  // namespace host

int main() { return host::run_script(); }
