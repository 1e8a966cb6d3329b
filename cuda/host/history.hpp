// Who touched an element last, and whether that was ordered before now.
#pragma once

#include <vector>

#include "numbers.hpp"

namespace host {

// Of every block of a launch, how many of its phases are over and known of: what it did in them comes before whatever knows so.
using Known = std::vector<u32>;

// A moment in the run of a thread. Barriers move a block from one phase to the next, and a warp likewise.
struct Moment {
    u32 launch = 0;
    u32 block = 0;
    i32 thread = -1;
    u32 phase = 0;
    u32 warp_phase = 0;

    i32 warp() const { return thread / 32; }

    // Whether `later`, in a block that knows so much of others, comes after this one in every order of threads.
    bool is_before(const Moment& later, const Known& known) const {
        if (thread < 0 || launch != later.launch) {
            return true;
        }
        if (block != later.block) {
            return block < known.size() && phase < known[block];
        }
        if (thread == later.thread || phase != later.phase) {
            return true;
        }
        return warp() == later.warp() && warp_phase != later.warp_phase;
    }
};

// The last write and the reads since the last barrier that a later write must be ordered after. Two readers are kept, and
// preferably of different warps or blocks: a write that is ordered after both is ordered after all.
struct History {
    Moment write;
    Moment reader;
    Moment other_reader;
    bool initialized = false;

    // The access that a read at `now` races with, if any.
    const Moment* race_of_read(const Moment& now, const Known& known) {
        if (!write.is_before(now, known)) {
            return &write;
        }
        remember(now, known);
        return nullptr;
    }

    const Moment* race_of_write(const Moment& now, const Known& known) {
        for (const Moment* earlier : {&write, &reader, &other_reader}) {
            if (!earlier->is_before(now, known)) {
                return earlier;
            }
        }
        write = now;
        reader = other_reader = Moment();
        initialized = true;
        return nullptr;
    }

  private:
    void remember(const Moment& now, const Known& known) {
        if (reader.is_before(now, known)) {
            reader = now;
        } else if (other_reader.is_before(now, known) || other_reader.warp() == reader.warp()) {
            other_reader = now;
        }
    }
};

}  // namespace host
