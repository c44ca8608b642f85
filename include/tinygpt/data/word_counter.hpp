// Counts the words of texts that arrive in pieces, with several threads.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <tinygpt/data/pre_tokenizer.hpp>
#include <tinygpt/data/word_boundary.hpp>
#include <tinygpt/data/word_counts.hpp>
#include <tinygpt/error.hpp>

namespace tinygpt {

/// Texts go in piece by piece, counts come out; the counts are the same however a text is cut and whatever the number
/// of threads. Holds about a megabyte of text per thread, and more only where a word is longer than that.
///
/// With one thread the caller counts; with more, that many others do, or as many as the system gives, and the caller
/// only waits for them where they cannot keep up.
class WordCounter {
 public:
  WordCounter(Pattern pattern, int threads) : pattern_(pattern), counts_(static_cast<std::size_t>(threads)) {
    if (threads == 1) return;
    try {
      workers_.reserve(counts_.size());
      for (auto& counts : counts_) workers_.emplace_back([this, &counts] { work(counts); });
    } catch (const std::system_error&) {  // fewer threads count the same words; with none the caller's own does
    } catch (...) {
      stop();
      throw;
    }
  }
  WordCounter(const WordCounter&) = delete;
  WordCounter& operator=(const WordCounter&) = delete;
  ~WordCounter() { stop(); }

  /// The next piece of the text. It may end anywhere, also within a character.
  void add(std::string_view piece) {
    while (!piece.empty()) {
      const std::size_t room = limit_ - std::min(limit_, batch_.text.size());
      const std::string_view part = piece.substr(0, std::max<std::size_t>(room, 1));
      batch_.text += part;
      piece.remove_prefix(part.size());
      if (batch_.text.size() >= limit_) cut();
    }
  }

  /// The text ends here: words do not go on into the next. A counter that gets one text need not be told.
  void end_text() {
    if (batch_.text.size() == (batch_.ends.empty() ? 0 : batch_.ends.back())) return;
    batch_.ends.push_back(batch_.text.size());
    searched_ = batch_.text.size();
    if (batch_.text.size() >= batch_bytes) hand_over();
  }

  /// All words so far. The counter is empty then.
  WordCounts finish() {
    end_text();
    hand_over();
    stop();
    if (fault_) std::rethrow_exception(fault_);
    WordCounts all;
    for (WordCounts& counts : counts_) all.take(std::move(counts));
    return all;
  }

 private:
  static constexpr std::size_t batch_bytes = std::size_t{1} << 20;

  /// Texts in a row, and where each ends.
  struct Batch {
    std::string text;
    std::vector<std::size_t> ends;
  };

  /// Hands over what goes up to the last place where a word surely begins, and keeps the rest. Where there is none, as
  /// in a long word, it waits until there is half as much text again, so that the time stays linear.
  void cut() {
    const std::size_t first = batch_.ends.empty() ? 0 : batch_.ends.back();
    const std::size_t at = pattern_ == Pattern::none
                               ? std::string_view::npos
                               : last_word_boundary(std::string_view(batch_.text).substr(first), searched_ - first);
    if (at == std::string_view::npos) {
      // The places just before the end can be judged only with what comes.
      searched_ = std::max(first, batch_.text.size() - std::min<std::size_t>(batch_.text.size(), 8));
      limit_ = batch_.text.size() + std::max(batch_bytes, batch_.text.size() / 2);
      return;
    }
    std::string rest = batch_.text.substr(first + at);
    batch_.text.resize(first + at);
    batch_.ends.push_back(first + at);
    hand_over();
    batch_.text = std::move(rest);
  }

  void hand_over() {
    Batch batch = std::exchange(batch_, {});
    limit_ = batch_bytes, searched_ = 0;
    if (workers_.empty()) return count(batch, counts_[0]);
    batch_.text.reserve(batch_bytes);
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return waiting_.size() < workers_.size() || fault_; });
    if (fault_) std::rethrow_exception(fault_);
    waiting_.push_back(std::move(batch));
    work_.notify_one();
  }

  void count(const Batch& batch, WordCounts& counts) const {
    std::size_t first = 0;
    for (const std::size_t end : batch.ends) {
      for_each_word(pattern_, std::string_view(batch.text).substr(first, end - first),
                    [&](std::string_view word) { counts.add(word); });
      first = end;
    }
  }

  void work(WordCounts& counts) {
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return !waiting_.empty() || stopped_; });
      if (waiting_.empty()) return;
      const Batch batch = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      room_.notify_one();
      try {
        count(batch, counts);
      } catch (...) {
        lock.lock();
        if (!fault_) fault_ = std::current_exception();
        room_.notify_one();
        return;
      }
      lock.lock();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    work_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  const Pattern pattern_;
  Batch batch_;
  std::size_t limit_ = batch_bytes;  ///< of text in the batch, before a cut is looked for
  std::size_t searched_ = 0;         ///< up to here there is no place to cut
  std::vector<WordCounts> counts_;   ///< one a thread
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::deque<Batch> waiting_;
  bool stopped_ = false;
  std::exception_ptr fault_;
  std::vector<std::thread> workers_;
};

}  // namespace tinygpt
