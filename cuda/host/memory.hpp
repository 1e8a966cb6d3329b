// Device memory and shared memory on the host: handles that check bounds, alignment, initialization and order.
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "history.hpp"

namespace host {

Moment now();
// What the running block knows of others.
const Known& known();

// The cache that a read goes through: the one for memory that the whole launch only reads, a multiprocessor's own, or none that could be stale.
enum class Through { ReadOnly, OwnCache, Nothing };

// Memory of elements of one size, with their history. It begins poisoned, or with what it is given.
class Buffer {
  public:
    Buffer(std::string name, i64 element_bytes, i64 count)
        : name_(std::move(name)), element_bytes_(element_bytes), count_(count) {
        // As much as is asked for and no more, so that the address sanitizer sees its end.
        void* bytes = nullptr;
        const size_t size = static_cast<size_t>(element_bytes * count);
        if (posix_memalign(&bytes, 256, size == 0 ? 1 : size) != 0) {
            script_fault("%s: out of memory", name_.c_str());
        }
        bytes_.reset(static_cast<u8*>(bytes));
        std::memset(bytes, 0xff, size);
        history_.resize(static_cast<size_t>(count));
    }

    const std::string& name() const { return name_; }
    i64 element_bytes() const { return element_bytes_; }
    i64 count() const { return count_; }
    u8* bytes() { return bytes_.get(); }
    void set_initialized() {
        for (History& history : history_) {
            history.initialized = true;
        }
    }
    bool is_initialized(i64 index) const { return history_[static_cast<size_t>(index)].initialized; }

    template <class T>
    T read(i64 index, Through through) {
        History& history = at<T>(index, "read");
        if (!history.initialized) {
            fault("%s[%lld] is read and was never written", name_.c_str(), static_cast<long long>(index));
        }
        const Moment moment = now();
        if (const Moment* race = history.race_of_read(moment, known())) {
            report(index, *race, "read");
        }
        const Moment& write = history.write;
        if (write.thread >= 0 && write.launch == moment.launch && through != Through::Nothing) {
            if (write.block != moment.block) {
                fault(
                    "%s[%lld] was written by another block of this launch, which only load_fresh sees", name_.c_str(),
                    static_cast<long long>(index)
                );
            }
            if (through == Through::ReadOnly) {
                fault(
                    "%s[%lld] was written in this launch, which the read-only cache does not see", name_.c_str(),
                    static_cast<long long>(index)
                );
            }
        }
        T value;
        std::memcpy(&value, bytes_.get() + index * element_bytes_, sizeof value);
        return value;
    }

    template <class T>
    void write(i64 index, T value) {
        if (const Moment* race = at<T>(index, "written").race_of_write(now(), known())) {
            report(index, *race, "written");
        }
        std::memcpy(bytes_.get() + index * element_bytes_, &value, sizeof value);
    }

    // A counter that blocks add to and wait for: it is in order with everything, but must have been written before.
    u32& counter(i64 index) {
        const History& history = at<u32>(index, "counted");
        if (!history.initialized) {
            fault("%s[%lld] is counted and was never written", name_.c_str(), static_cast<long long>(index));
        }
        if (history.write.thread >= 0 && history.write.launch == now().launch) {
            fault("%s[%lld] is counted and was written in this launch", name_.c_str(), static_cast<long long>(index));
        }
        return *reinterpret_cast<u32*>(bytes_.get() + index * element_bytes_);
    }

  private:
    struct Free {
        void operator()(u8* bytes) const { std::free(bytes); }
    };

    template <class T>
    History& at(i64 index, const char* what) {
        if (sizeof(T) != static_cast<size_t>(element_bytes_)) {
            fault("%s has elements of %lld bytes, used as %zu", name_.c_str(), static_cast<long long>(element_bytes_), sizeof(T));
        }
        if (index < 0 || index >= count_) {
            fault(
                "%s[%lld] is %s and there are %lld", name_.c_str(), static_cast<long long>(index), what,
                static_cast<long long>(count_)
            );
        }
        return history_[static_cast<size_t>(index)];
    }

    [[noreturn]] void report(i64 index, const Moment& race, const char* what) const {
        fault(
            "%s[%lld] is %s in a race with thread %d of block %u", name_.c_str(), static_cast<long long>(index), what,
            race.thread, race.block
        );
    }

    std::string name_;
    i64 element_bytes_;
    i64 count_;
    std::unique_ptr<u8, Free> bytes_;
    std::vector<History> history_;
};

// An element that a kernel names; reading and writing it are told apart.
template <class T>
class Element {
  public:
    Element(Buffer* buffer, i64 index) : buffer_(buffer), index_(index) {}
    operator T() const { return buffer_->read<T>(index_, Through::OwnCache); }
    const Element& operator=(T value) const {
        buffer_->write<T>(index_, value);
        return *this;
    }
    const Element& operator=(const Element& other) const { return *this = static_cast<T>(other); }
    Element(const Element&) = default;
    const Element& operator+=(T value) const { return *this = static_cast<T>(*this) + value; }

  private:
    Buffer* buffer_;
    i64 index_;
};

// A pointer into a buffer.
template <class T>
class Memory {
  public:
    using Value = std::remove_const_t<T>;

    Memory() = default;
    Memory(Buffer* buffer, i64 offset) : buffer_(buffer), offset_(offset) {}
    // A pointer to const from another.
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
    Memory(const Memory<U>& other) : buffer_(other.buffer()), offset_(other.offset()) {}

    Buffer* buffer() const { return buffer_; }
    i64 offset() const { return offset_; }
    u64 address() const {
        return reinterpret_cast<u64>(buffer_->bytes()) + static_cast<u64>(offset_ * buffer_->element_bytes());
    }
    Memory operator+(i64 distance) const { return {buffer_, offset_ + distance}; }

    auto operator[](i64 index) const {
        if constexpr (std::is_const_v<T>) {
            return buffer_->read<Value>(offset_ + index, Through::ReadOnly);
        } else {
            return Element<T>(buffer_, offset_ + index);
        }
    }

    template <i32 N>
    Array<Value, N> load(i64 index, Through through) const {
        check_aligned<N>(index);
        Array<Value, N> pack;
        for (i32 k = 0; k < N; ++k) {
            pack[k] = buffer_->read<Value>(offset_ + index + k, through);
        }
        return pack;
    }
    template <i32 N>
    void store(i64 index, const Array<Value, N>& pack) const {
        check_aligned<N>(index);
        for (i32 k = 0; k < N; ++k) {
            buffer_->write<Value>(offset_ + index + k, pack[k]);
        }
    }

  private:
    template <i32 N>
    void check_aligned(i64 index) const {
        if ((*this + index).address() % (sizeof(Value) * N) != 0) {
            fault("%s[%lld]: %d elements at an odd address", buffer_->name().c_str(), static_cast<long long>(index), N);
        }
    }

    Buffer* buffer_ = nullptr;
    i64 offset_ = 0;
};

// Shared memory is memory that a block owns.
template <class T>
using SharedMemory = Memory<T>;

}  // namespace host
