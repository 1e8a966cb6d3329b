#include "scheduler.hpp"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

namespace host {
namespace {

constexpr size_t STACK = 512 * 1024;
constexpr i32 WARP = 32;

enum class State { Ready, AtBlockBarrier, AtWarpBarrier, InExchange, AtCounter, Ended };

const char* name_of(State state) {
    switch (state) {
        case State::AtBlockBarrier: return "block barrier";
        case State::AtWarpBarrier: return "warp barrier";
        case State::InExchange: return "exchange among lanes";
        case State::AtCounter: return "counter that nobody raises";
        case State::Ready: return "ready";
        case State::Ended: return "ended";
    }
    return "?";
}

struct Thread {
    ucontext_t context;
    State state = State::Ready;
    Site site = {"", 0};
    Payload own = {};
    Payload lanes[WARP] = {};
    // While it waits for one.
    const u32* counter = nullptr;
    u32 count = 0;
};

struct Place {
    std::string file;
    int line;
    bool operator<(const Place& other) const { return std::tie(file, line) < std::tie(other.file, other.line); }
};

// Stacks are made once and used by every launch; a guard page lies below each.
u8* stack_of(size_t index) {
    static std::vector<u8*> stacks;
    while (stacks.size() <= index) {
        const size_t page = 4096;
        void* memory = mmap(nullptr, STACK + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
            script_fault("no memory for the stacks of threads");
        }
        stacks.push_back(static_cast<u8*>(memory) + page);
    }
    return stacks[index];
}

// What is known at a counter from its first publication on, from its second, and so on.
std::map<const u32*, std::vector<Known>> published;

void learn(Known& known, const Known& more) {
    known.resize(std::max(known.size(), more.size()));
    for (size_t block = 0; block < more.size(); ++block) {
        known[block] = std::max(known[block], more[block]);
    }
}

class Block {
  public:
    // The stacks from `first_stack` on are its threads'.
    Block(
        const Geometry& geometry, u32 launch, i32 block, i32 row, u64 seed, const std::function<void()>& kernel,
        size_t first_stack
    )
        : geometry_(geometry), launch_(launch), id_(static_cast<u32>(row * geometry.grid + block)), kernel_(kernel),
          random_(seed), threads_(static_cast<size_t>(geometry.threads)),
          warp_phases_(static_cast<size_t>((geometry.threads + WARP - 1) / WARP)), first_stack_(first_stack) {
        here_ = {-1, block, row, geometry.grid};
    }

    void start();
    // Lets every thread run that can. Whether any could.
    bool turn();
    bool has_ended() const { return is_every(State::Ended); }
    [[noreturn]] void report_deadlock();

    const Here& here() const { return here_; }
    Moment now() const {
        if (here_.thread < 0) {
            return {};
        }
        return {launch_, id_, here_.thread, phase_, warp_phases_[static_cast<size_t>(here_.thread / WARP)]};
    }
    const Known& known() const { return known_; }
    void wait(State state, Site site);
    void publish(u32* counter) {
        std::vector<Known>& publications = published[counter];
        Known known = publications.empty() ? Known() : publications.back();
        learn(known, known_);
        known.resize(std::max(known.size(), static_cast<size_t>(id_) + 1));
        known[id_] = phase_;
        publications.push_back(known);
        ++*counter;
    }
    void wait_for(const u32* counter, u32 count, Site site) {
        if (!geometry_.together) {
            fault("blocks that do not run together wait for one another at line %d", site.line);
        }
        Thread& thread = threads_[static_cast<size_t>(here_.thread)];
        thread.counter = counter;
        thread.count = count;
        wait(State::AtCounter, site);
        const std::vector<Known>& publications = published[counter];
        // No more than the count stands for, whoever else was early.
        if (count > 0 && count <= publications.size()) {
            learn(learned_, publications[count - 1]);
        }
    }
    const Payload* exchange(const Payload& own, Site site) {
        threads_[static_cast<size_t>(here_.thread)].own = own;
        const i32 thread = here_.thread;
        wait(State::InExchange, site);
        return threads_[static_cast<size_t>(thread)].lanes;
    }
    Buffer* shared(Site site, i64 element_bytes, i64 count) {
        std::unique_ptr<Buffer>& buffer = shared_[{site.file, site.line}];
        if (!buffer) {
            buffer = std::make_unique<Buffer>("shared memory of line " + std::to_string(site.line), element_bytes, count);
        }
        if (buffer->element_bytes() != element_bytes || buffer->count() != count) {
            fault("the threads of a block disagree about the %s", buffer->name().c_str());
        }
        return buffer.get();
    }
    Buffer* dynamic_shared(i64 element_bytes) {
        return shared({"dynamic", 0}, element_bytes, geometry_.dynamic_bytes / element_bytes);
    }

  private:
    static void start(ucontext_t& context, u8* stack);
    static void enter();
    bool is_every(State state) const {
        return std::all_of(threads_.begin(), threads_.end(), [state](const Thread& thread) { return thread.state == state; });
    }
    void resume(i32 thread);
    void switch_back();
    bool release_block();
    bool release_warp(i32 warp);

    const Geometry& geometry_;
    u32 launch_;
    u32 id_;
    const std::function<void()>& kernel_;
    std::mt19937_64 random_;
    std::vector<Thread> threads_;
    std::vector<u32> warp_phases_;
    u32 phase_ = 0;
    size_t first_stack_;
    Known known_;
    // What its threads have learned from counters since the last barrier.
    Known learned_;
    Here here_ = {};
    ucontext_t scheduler_ = {};
    std::map<Place, std::unique_ptr<Buffer>> shared_;
    void* scheduler_fake_stack_ = nullptr;
    const void* scheduler_stack_ = nullptr;
    size_t scheduler_stack_bytes_ = 0;
};

Block* running = nullptr;
u32 launches = 0;

void Block::start(ucontext_t& context, u8* stack) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, &Block::enter, 0);
}

void Block::enter() {
    Block* block = running;
#if SANITIZED
    __sanitizer_finish_switch_fiber(nullptr, &block->scheduler_stack_, &block->scheduler_stack_bytes_);
#endif
    block->kernel_();
    Thread& thread = block->threads_[static_cast<size_t>(block->here_.thread)];
    thread.state = State::Ended;
#if SANITIZED
    // No fake stack to come back to.
    __sanitizer_start_switch_fiber(nullptr, block->scheduler_stack_, block->scheduler_stack_bytes_);
#endif
    swapcontext(&thread.context, &block->scheduler_);
}

void Block::resume(i32 index) {
    here_.thread = index;
#if SANITIZED
    u8* const stack = stack_of(first_stack_ + static_cast<size_t>(index));
    __sanitizer_start_switch_fiber(&scheduler_fake_stack_, stack, STACK);
#endif
    swapcontext(&scheduler_, &threads_[static_cast<size_t>(index)].context);
#if SANITIZED
    __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
#endif
    here_.thread = -1;
}

void Block::wait(State state, Site site) {
    const i32 index = here_.thread;
    Thread& thread = threads_[static_cast<size_t>(index)];
    thread.state = state;
    thread.site = site;
#if SANITIZED
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, scheduler_stack_, scheduler_stack_bytes_);
#endif
    swapcontext(&thread.context, &scheduler_);
#if SANITIZED
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

void Block::start() {
    for (size_t index = 0; index < threads_.size(); ++index) {
        start(threads_[index].context, stack_of(first_stack_ + index));
    }
}

bool Block::turn() {
    running = this;
    std::vector<i32> ready;
    for (i32 index = 0; index < geometry_.threads; ++index) {
        Thread& thread = threads_[static_cast<size_t>(index)];
        if (thread.state == State::AtCounter && *thread.counter >= thread.count) {
            thread.state = State::Ready;
        }
        if (thread.state == State::Ready) {
            ready.push_back(index);
        }
    }
    std::shuffle(ready.begin(), ready.end(), random_);
    for (i32 index : ready) {
        resume(index);
    }
    bool released = false;
    for (i32 warp = 0; warp < static_cast<i32>(warp_phases_.size()); ++warp) {
        released = release_warp(warp) || released;
    }
    released = release_block() || released;
    running = nullptr;
    return released || !ready.empty();
}

bool Block::release_block() {
    for (const Thread& thread : threads_) {
        if (thread.state != State::AtBlockBarrier || !(thread.site == threads_[0].site)) {
            return false;
        }
    }
    for (Thread& thread : threads_) {
        thread.state = State::Ready;
    }
    ++phase_;
    learn(known_, learned_);
    return true;
}

bool Block::release_warp(i32 warp) {
    const size_t first = static_cast<size_t>(warp * WARP);
    if (threads_.size() < first + WARP) {
        return false;
    }
    const State state = threads_[first].state;
    if (state != State::AtWarpBarrier && state != State::InExchange) {
        return false;
    }
    for (size_t lane = 0; lane < WARP; ++lane) {
        const Thread& thread = threads_[first + lane];
        if (thread.state != state || !(thread.site == threads_[first].site)) {
            return false;
        }
    }
    for (size_t lane = 0; lane < WARP; ++lane) {
        threads_[first + lane].state = State::Ready;
        if (state == State::InExchange) {
            for (size_t other = 0; other < WARP; ++other) {
                threads_[first + lane].lanes[other] = threads_[first + other].own;
            }
        }
    }
    if (state == State::AtWarpBarrier) {
        ++warp_phases_[static_cast<size_t>(warp)];
    }
    return true;
}

void Block::report_deadlock() {
    std::string waiting;
    for (size_t index = 0; index < threads_.size(); ++index) {
        const Thread& thread = threads_[index];
        const Thread* previous = index == 0 ? nullptr : &threads_[index - 1];
        if (previous != nullptr && previous->state == thread.state && previous->site == thread.site) {
            continue;
        }
        waiting += "; from thread " + std::to_string(index) + " on: " + name_of(thread.state);
        if (thread.state != State::Ended) {
            waiting += " of line " + std::to_string(thread.site.line);
        }
    }
    fault("not every thread reaches the same barrier or exchange%s", waiting.c_str());
}

// Blocks in turns until all have ended, some of them slower than others.
void run_to_the_end(std::vector<std::unique_ptr<Block>>& blocks, std::mt19937_64& random) {
    for (const std::unique_ptr<Block>& block : blocks) {
        block->start();
    }
    while (!blocks.empty()) {
        std::shuffle(blocks.begin(), blocks.end(), random);
        bool moved = false;
        for (size_t index = 0; index < blocks.size(); ++index) {
            if (index % 2 == 0 || !moved) {
                moved = blocks[index]->turn() || moved;
            }
        }
        if (!moved) {
            for (const std::unique_ptr<Block>& block : blocks) {
                if (!block->has_ended()) {
                    running = block.get();
                    block->report_deadlock();
                }
            }
        }
        blocks.erase(
            std::remove_if(
                blocks.begin(), blocks.end(), [](const std::unique_ptr<Block>& block) { return block->has_ended(); }
            ),
            blocks.end()
        );
    }
}

}  // namespace

const char* position() {
    static char text[96];
    text[0] = '\0';
    if (running != nullptr && running->here().thread >= 0) {
        const Here& at = running->here();
        std::snprintf(text, sizeof text, " (thread %d of block %d, row %d)", at.thread, at.block, at.row);
    }
    return text;
}

Moment now() { return running == nullptr ? Moment() : running->now(); }
const Known& known() {
    static const Known nothing;
    return running == nullptr ? nothing : running->known();
}
const Here& here() { return running->here(); }
void block_barrier(Site site) { running->wait(State::AtBlockBarrier, site); }
void warp_barrier(Site site) { running->wait(State::AtWarpBarrier, site); }
void publish(Buffer* counters, i64 index) { running->publish(&counters->counter(index)); }
void wait_for(Buffer* counters, i64 index, u32 count, Site site) {
    running->wait_for(&counters->counter(index), count, site);
}
const Payload* exchange_bytes(const Payload& own, Site site) { return running->exchange(own, site); }
Buffer* shared_buffer(Site site, i64 element_bytes, i64 count) { return running->shared(site, element_bytes, count); }
Buffer* dynamic_shared_buffer(i64 element_bytes) { return running->dynamic_shared(element_bytes); }

void run(const Geometry& geometry, u64 seed, const std::function<void()>& kernel) {
    std::mt19937_64 random(seed);
    std::vector<i64> blocks(static_cast<size_t>(geometry.grid) * static_cast<size_t>(geometry.rows));
    for (size_t index = 0; index < blocks.size(); ++index) {
        blocks[index] = static_cast<i64>(index);
    }
    std::shuffle(blocks.begin(), blocks.end(), random);
    ++launches;
    published.clear();
    std::vector<std::unique_ptr<Block>> at_once;
    for (i64 index : blocks) {
        const i32 block = static_cast<i32>(index % geometry.grid);
        const i32 row = static_cast<i32>(index / geometry.grid);
        const size_t first_stack = at_once.size() * static_cast<size_t>(geometry.threads);
        at_once.push_back(std::make_unique<Block>(geometry, launches, block, row, random(), kernel, first_stack));
        if (!geometry.together) {
            run_to_the_end(at_once, random);
        }
    }
    run_to_the_end(at_once, random);
}

}  // namespace host
