#include "thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__linux__)
#include <sched.h>
#endif

namespace lbw {
namespace {

using Clock = std::chrono::steady_clock;

// About 50 microseconds: longer than the pause between two operations of a network,
// shorter than what anyone would notice of a busy core.
constexpr int kSpins = 2000;
// How much longer a worker stays awake within an image, where one thread works alone for a while.
// It gives way to whoever else wants its core.
constexpr std::chrono::microseconds kAwake{1000};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int this_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Moves the calling thread off this CPU, if it runs there and may run on others.
void leave_cpu(int cpu) {
#if defined(__linux__)
  cpu_set_t allowed;
  if (cpu < 0 || sched_getcpu() != cpu) return;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  cpu_set_t others = allowed;
  CPU_CLR(cpu, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0)
    sched_setaffinity(0, sizeof allowed, &allowed);
#else
  static_cast<void>(cpu);
#endif
}

}  // namespace

ThreadPool::Image::Image(ThreadPool& pool) : pool_(pool) {
  if (pool_.workers_.empty()) return;
  {
    std::lock_guard<std::mutex> lock(pool_.mutex_);
    pool_.caller_cpu_ = this_cpu();
    pool_.in_image_.store(true, std::memory_order_relaxed);
    ++pool_.generation_;
  }
  pool_.wake_.notify_all();
}

ThreadPool::Image::~Image() { pool_.in_image_.store(false, std::memory_order_relaxed); }

ThreadPool::ThreadPool(int threads) : shares_(std::max(threads, 1)) {
  try {
    for (int thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { wait_for_jobs(thread); });
  } catch (...) {
    stop();  // a std::thread must not be destroyed while it runs
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
    ++generation_;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::parallel(std::int64_t count, std::int64_t grain, const Work& work) {
  if (count <= 0) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    work_ = &work;
    grain_ = std::max<std::int64_t>(grain, 1);
    const auto threads = static_cast<std::int64_t>(shares_.size());
    for (std::int64_t i = 0; i < threads; ++i) {
      shares_[i].next = i * count / threads;
      shares_[i].end = (i + 1) * count / threads;
    }
    failure_ = nullptr;
    open_ = !workers_.empty() && count > grain_;
    if (open_) caller_cpu_ = this_cpu(), ++generation_;
  }
  if (open_) wake_.notify_all();
  take_pieces(0);
  {
    // Nobody waits for a worker that has slept through the whole job.
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
  }
  for (int spin = 0; joined_.load(std::memory_order_acquire) > 0; ++spin)
    spin < kSpins ? pause() : std::this_thread::yield();
  if (failure_) std::rethrow_exception(failure_);
}

void ThreadPool::wait_for_jobs(int thread) {
  std::uint32_t seen = 0;
  const auto nothing_new = [&] { return generation_.load(std::memory_order_relaxed) == seen; };
  for (;;) {
    for (int spin = 0; spin < kSpins && nothing_new(); ++spin) pause();
    if (nothing_new() && in_image_.load(std::memory_order_relaxed)) {
      const auto end = Clock::now() + kAwake;
      while (nothing_new() && in_image_.load(std::memory_order_relaxed) && Clock::now() < end)
        std::this_thread::yield();
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (nothing_new()) {
        wake_.wait(lock, [&] { return !nothing_new(); });
        // Some kernels wake a thread on the CPU of the one that wakes it: they would take turns.
        const int caller_cpu = caller_cpu_;
        lock.unlock();
        leave_cpu(caller_cpu);
        lock.lock();
      }
      seen = generation_.load();
      if (ending_) return;
      if (!open_) continue;
      joined_.fetch_add(1, std::memory_order_relaxed);
    }
    take_pieces(thread);
    joined_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::take_pieces(int thread) {
  try {
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(thread + i) % shares_.size()];
      for (;;) {
        const std::int64_t begin = share.next.fetch_add(grain_, std::memory_order_relaxed);
        if (begin >= share.end) break;
        check();
        (*work_)(begin, std::min(begin + grain_, share.end), thread);
      }
    }
  } catch (...) {
    for (Share& share : shares_) share.next = share.end;  // the others stop after their piece
    std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace lbw
