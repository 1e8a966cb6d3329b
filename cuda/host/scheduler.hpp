// Runs the blocks of a launch one after another, or all together if it asks for that, and the threads of a block as fibers, in an order
// drawn from a seed.
//
// A thread runs until a barrier, an exchange among lanes or a counter makes it wait. When every thread of the block waits at the same
// barrier, or every lane of a warp at the same exchange, those go on; when a counter is high enough, who waits for it. When nothing can
// go on and not all have ended, the run is at fault: on a GPU it would hang, or, worse, would not.
#pragma once

#include <functional>

#include "memory.hpp"

namespace host {

// Where the running thread is.
struct Here {
    i32 thread;
    i32 block;
    i32 row;
    i32 grid;
    i32 lane() const { return thread % 32; }
};
const Here& here();

struct Geometry {
    i32 grid = 1;
    i32 rows = 1;
    i32 threads = 1;
    i64 dynamic_bytes = 0;
    // All blocks run at the same time, so that they may wait for one another.
    bool together = false;
};

// Runs `kernel` once per thread.
void run(const Geometry& geometry, u64 seed, const std::function<void()>& kernel);

void block_barrier(Site site);
void warp_barrier(Site site);

// Adds 1 to a counter. What the block did before its last barrier comes before whatever waits for that.
void publish(Buffer* counters, i64 index);
// Waits for a counter to reach `count`; what was published there comes before what the block does after its next barrier.
void wait_for(Buffer* counters, i64 index, u32 count, Site site);

// What the 32 lanes of a warp gave to an exchange.
struct Payload {
    u8 bytes[64];
};
const Payload* exchange_bytes(const Payload& own, Site site);

template <class T>
class Exchanged {
  public:
    explicit Exchanged(const Payload* lanes) : lanes_(lanes) {}
    T from(i32 lane) const {
        T value;
        std::memcpy(&value, lanes_[lane].bytes, sizeof value);
        return value;
    }

  private:
    const Payload* lanes_;
};

// Valid until the thread's next exchange.
template <class T>
Exchanged<T> exchange(const T& value, Site site) {
    static_assert(sizeof(T) <= sizeof(Payload));
    Payload payload = {};
    std::memcpy(payload.bytes, &value, sizeof value);
    return Exchanged<T>(exchange_bytes(payload, site));
}

// The running block's array declared at a site.
Buffer* shared_buffer(Site site, i64 element_bytes, i64 count);
template <class T>
SharedMemory<T> shared_array(i64 count, const char* file, int line) {
    return {shared_buffer({file, line}, sizeof(T), count), 0};
}
// The one whose size the launch gave.
Buffer* dynamic_shared_buffer(i64 element_bytes);
template <class T>
SharedMemory<T> dynamic_shared_array() {
    return {dynamic_shared_buffer(sizeof(T)), 0};
}

}  // namespace host
