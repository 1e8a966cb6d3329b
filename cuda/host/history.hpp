// Who touched an element last, and whether that was ordered before now.
#pragma once

#include <algorithm>
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

// The last write and the reads that a later write must be ordered after. Of each block two readers are kept, of different warps if there are
// such: a write that is ordered after both is ordered after all of them.
struct History {
    Moment write;
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
        for (const Moment* earlier : {&write, &reader_, &other_reader_}) {
            if (!earlier->is_before(now, known)) {
                return earlier;
            }
        }
        for (const Moment& earlier : more_readers_) {
            if (!earlier.is_before(now, known)) {
                return &earlier;
            }
        }
        write = now;
        reader_ = other_reader_ = Moment();
        more_readers_.clear();
        initialized = true;
        return nullptr;
    }

  private:
    // Readers that come before `now` need not be kept: a write that is ordered after this is ordered after them.
    void remember(const Moment& now, const Known& known) {
        const auto is_done = [&](const Moment& earlier) { return earlier.is_before(now, known); };
        more_readers_.erase(std::remove_if(more_readers_.begin(), more_readers_.end(), is_done), more_readers_.end());
        for (Moment* kept : {&reader_, &other_reader_}) {
            if (is_done(*kept)) {
                *kept = Moment();
            }
        }
        if (reader_.thread < 0) {
            reader_ = now;
            return;
        }
        Moment* of_this_block[2] = {nullptr, nullptr};
        const auto note = [&](Moment& kept) {
            if (kept.thread >= 0 && kept.block == now.block) {
                of_this_block[of_this_block[0] == nullptr ? 0 : 1] = &kept;
            }
        };
        note(reader_);
        note(other_reader_);
        for (Moment& kept : more_readers_) {
            note(kept);
        }
        if (of_this_block[1] != nullptr) {
            if (of_this_block[0]->warp() == of_this_block[1]->warp()) {
                *of_this_block[1] = now;
            }
        } else if (other_reader_.thread < 0) {
            other_reader_ = now;
        } else {
            more_readers_.push_back(now);
        }
    }

    Moment reader_;
    Moment other_reader_;
    std::vector<Moment> more_readers_;
};

}  // namespace host
