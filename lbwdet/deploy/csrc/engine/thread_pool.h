// A few threads that wait for work, made once per engine.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "error.h"

namespace lbw {

class ThreadPool {
 public:
  // The calling thread of parallel() counts as one of `threads`.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(begin, end, thread) for pieces of at most `grain` that cover 0 .. count once,
  // and returns when all are done. `thread` is below threads(): an index for scratch memory.
  // Every thread begins with its own share, which lies where it lay in the work before: of the
  // same rows of a map, whose input is then in its own cache. Who is done takes from the others.
  // An exception of `work` is thrown again here, after every thread has stopped.
  using Work = std::function<void(std::int64_t begin, std::int64_t end, int thread)>;
  void parallel(std::int64_t count, std::int64_t grain, const Work& work);

  // While one lives, jobs of one image follow each other: workers wake up at its beginning and
  // stay awake.
  class Image {
   public:
    explicit Image(ThreadPool& pool);
    ~Image();
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;

   private:
    ThreadPool& pool_;
  };

  // From any thread: until allow(), every piece of work that would begin throws Cancelled.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  void allow() { cancelled_.store(false, std::memory_order_relaxed); }
  // For long pieces of work: throws Cancelled if it was.
  void check() const {
    if (cancelled_.load(std::memory_order_relaxed)) throw Cancelled();
  }

 private:
  void stop();
  void wait_for_jobs(int thread);
  void take_pieces(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // One more for every image, for every job, and for the end.
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> in_image_{false};
  int caller_cpu_ = -1;  // where the thread runs that has the work done
  bool ending_ = false;
  bool open_ = false;  // whether workers may still join the current job
  std::atomic<int> joined_{0};

  struct alignas(64) Share {  // lines of their own: threads would wait for each other's
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  std::vector<Share> shares_;  // by thread

  const Work* work_ = nullptr;
  std::int64_t grain_ = 1;
  std::exception_ptr failure_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace lbw
