// Class Candidates: boxes from the maps of a dense head, the best of each level.
#include "../arithmetic/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../arithmetic/coder.h"

namespace lbw {
namespace {

constexpr std::int64_t kPieceScores = 8192;  // that one thread looks through at once, about
constexpr int kBlock = 64;                   // scores or boxes that are computed together

std::vector<int> inputs_of(const Fields& fields) {
  std::vector<int> inputs;
  for (const char* const name : {"scores", "deltas", "factors"})
    for (const int value : fields.values(name, Kind::floats)) inputs.push_back(value);
  return inputs;
}

// The best of many ranks: the `most` least ones, in room for `capacity`.
struct Best {
  std::uint64_t* ranks;
  std::size_t most, capacity;
  std::size_t count;
  std::uint64_t worst;  // no rank above counts any more,
  float least;          // and so no score below

  void reset(std::uint64_t* memory, std::size_t wanted, std::size_t room) {
    ranks = memory, most = wanted, capacity = room, count = 0;
    worst = std::numeric_limits<std::uint64_t>::max();
    least = -std::numeric_limits<float>::infinity();
  }

  void push(std::uint64_t rank) {
    if (rank > worst) return;
    if (count == capacity) compact();
    if (rank > worst) return;
    ranks[count++] = rank;
  }

  void compact() {
    if (count <= most) return;
    std::nth_element(ranks, ranks + most - 1, ranks + count);
    count = most;
    worst = ranks[most - 1];
    least = ranked_score(worst);
  }
};

class CandidatesOperation : public Operation {
 public:
  explicit CandidatesOperation(const Fields& fields)
      : Operation(inputs_of(fields), fields.value("output", Kind::floats)),
        coder_(fields),
        classes_(fields.integer("num_classes")),
        pre_nms_(fields.integer("pre_nms")),
        objects_(fields.integer("things") ? fields.integer("things") : classes_),
        min_size_(fields.real("min_size")),
        has_threshold_(fields.flag("has_threshold")),
        factor_first_(fields.flag("factor_first")),
        best_class_(fields.flag("best_class")),
        root_(fields.flag("root")),
        whole_anchors_(fields.flag("whole_anchors")),
        plain_factors_(fields.flag("plain_factors")),
        together_(fields.flag("together")),
        unweighted_(fields.flag("unweighted")),
        numbered_(fields.flag("numbered")),
        factor_threshold_(fields.real("factor_threshold")),
        has_deltas_(fields.has("deltas")),
        has_factors_(fields.has("factors")) {
    if (has_threshold_) threshold_ = fields.real("score_threshold");
    const std::string activation = fields.text("activation");
    sigmoid_ = activation == "sigmoid";
    softmax_ = activation == "softmax";
    if (!sigmoid_ && !softmax_ && activation != "none")
      throw Error("this build has no scores by " + activation);
    expect(classes_ > 0 && pre_nms_ > 0, "num_classes and pre_nms must be positive");
    expect(has_factors_ || !factor_first_, "factor_first, without factors");
    expect(!root_ || (factor_first_ && (sigmoid_ || softmax_) && !plain_factors_),
           "root, but not of products of an activation and a sigmoid");
    expect(!best_class_ || !whole_anchors_, "best_class of whole_anchors");
    expect(!together_ || !whole_anchors_, "together of whole_anchors");
    expect(has_factors_ || !limited(), "factor_threshold, without factors");

    const auto strides = fields.integers("strides"), anchors = fields.integers("anchors_per_level");
    const auto base = fields.floats("base_anchors");
    std::vector<float> steps(strides.begin(), strides.end());
    if (fields.has("exact_strides")) steps = fields.floats("exact_strides", strides.size);
    const std::size_t levels = strides.size;
    expect(levels > 0 && anchors.size == levels &&
               fields.values("scores", Kind::floats).size() == levels &&
               inputs.size() == (1 + has_deltas_ + has_factors_) * levels,
           "every level needs a stride, anchors, scores, and deltas and a factor if others have "
           "them");
    std::size_t next = 0;
    for (std::size_t l = 0; l < levels; ++l) {
      const int count = anchors.data[l];
      expect(count > 0 && next + 4 * static_cast<std::size_t>(count) <= base.size(),
             "base_anchors are not those of anchors_per_level");
      Level level{inputs[l], has_deltas_ ? inputs[levels + l] : -1,
                  has_factors_ ? inputs[(1 + has_deltas_) * levels + l] : -1,
                  static_cast<float>(strides.data[l]), steps[l], {}};
      for (int a = 0; a < count; ++a, next += 4)
        level.anchors.push_back({base[next], base[next + 1], base[next + 2], base[next + 3]});
      levels_.push_back(std::move(level));
    }
    expect(next == base.size(), "base_anchors are not those of anchors_per_level");
  }

  Shape shape(const Sizes& sizes) const override {
    std::int64_t most = 0, all = 0;
    for (const Level& level : levels_) {
      const Shape& scores = sizes[level.scores];
      const std::int64_t anchors = anchors_in(level);
      const Shape deltas{1, scores.h, scores.w, coder_.numbers() * anchors};
      const bool fits =
          scores == Shape{1, scores.h, scores.w, anchors * columns()} &&
          (level.deltas < 0 || sizes[level.deltas] == deltas) &&
          (level.factors < 0 || sizes[level.factors] == Shape{1, scores.h, scores.w, anchors});
      if (!fits)
        throw Error("scores of " + scores.text() + " for " + std::to_string(anchors) +
                    " anchors of " + std::to_string(classes_) +
                    " classes, or deltas or factors of another size");
      most += rows(scores.h * scores.w * anchors);
      all += scores.h * scores.w * anchors;
    }
    if (numbered_ && all > kMostNumbers)
      throw Error(std::to_string(all) + " anchors are more than a float32 can number");
    return {most, 1, 1, kCandidateColumns};
  }

  double scratch(const Sizes& sizes) const override {
    double ranks = 0;
    for (const Level& level : levels_) {
      const Shape& scores = sizes[level.scores];
      ranks += scratch_bytes<std::uint64_t>(
          static_cast<double>(room(scores.h * scores.w * anchors_in(level))));
    }
    const double levels = static_cast<double>(levels_.size());
    return (ranks + scratch_bytes<Best>(levels) + of_thread()) * sizes.threads +
           scratch_bytes<std::int64_t>(levels);
  }

  double work(const Sizes& sizes) const override {
    const double per_score = sigmoid_ || softmax_ ? 16 : 1;  // exponentials
    double work = sizes[output].size();
    for (const Level& level : levels_) {
      const Shape& scores = sizes[level.scores];
      work += scores.size() * per_score;
      if (level.factors >= 0) work += sizes[level.factors].size() * 16;
      if (level.deltas >= 0)
        work += coder_.work() * static_cast<double>(kept(scores.h * scores.w * anchors_in(level)));
    }
    return work;
  }

  void run(Frame& frame) const override {
    const auto levels = static_cast<std::int64_t>(levels_.size());
    const int threads = frame.pool.threads();
    std::vector<Best*> best;  // by thread, level
    for (int thread = 0; thread < threads; ++thread) {
      best.push_back(frame.scratch.take<Best>(levels));
      for (std::int64_t l = 0; l < levels; ++l) {
        const std::int64_t anchors = anchors_of(frame, l);
        best[thread][l].reset(frame.scratch.take<std::uint64_t>(room(anchors)), kept(anchors),
                              room(anchors));
      }
    }
    auto* const counts = frame.scratch.take<std::int64_t>(levels);
    const auto scratch = frame.scratch.parts(of_thread(), threads);

    std::int64_t pieces = 0;
    for (std::int64_t l = 0; l < levels; ++l) pieces += pieces_of(anchors_of(frame, l));
    frame.pool.parallel(pieces, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t piece = begin; piece < end; ++piece) {
        std::int64_t l = 0, rest = piece;
        for (; rest >= pieces_of(anchors_of(frame, l)); ++l) rest -= pieces_of(anchors_of(frame, l));
        Best mine = best[thread][l];  // a copy: neighbours in memory belong to other threads
        const std::int64_t first = rest * piece_anchors();
        look_through(frame, levels_[l], first,
                     std::min(first + piece_anchors(), anchors_of(frame, l)), scratch.of(thread),
                     mine);
        best[thread][l] = mine;
      }
    });

    frame.pool.parallel(levels, 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t l = begin; l < end; ++l) {
        Best& all = best[0][l];
        for (int thread = 1; thread < threads; ++thread)
          for (std::size_t i = 0; i < best[thread][l].count; ++i)
            all.push(best[thread][l].ranks[i]);
        all.compact();
        std::sort(all.ranks, all.ranks + all.count);
      }
    });
    if (together_) keep_best(best[0], levels, counts);

    // Every level has its place in the output; then the gaps are closed.
    auto* const out = reinterpret_cast<Candidate*>(frame.floats(output).data);
    frame.pool.parallel(levels, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
      for (std::int64_t l = begin; l < end; ++l)
        counts[l] = emit(frame, l, best[0][l], scratch.of(worker), out + place(frame, l));
    });
    std::int64_t count = 0;
    for (std::int64_t l = 0; l < levels; ++l) {
      const Candidate* const from = out + place(frame, l);
      if (from != out + count) std::copy(from, from + counts[l], out + count);
      count += counts[l];
    }
    frame.begin_floats(output, static_cast<int>(count));
  }

 private:
  struct Level {
    int scores, deltas, factors;  // values; -1 for none
    float stride, step;  // of anchors
    std::vector<Box> anchors;  // of the cell (0, 0)
  };

  // Of a cell.
  static std::int64_t anchors_in(const Level& level) {
    return static_cast<std::int64_t>(level.anchors.size());
  }
  // Scores of an anchor.
  std::int64_t columns() const { return classes_ + (softmax_ ? 1 : 0); }
  // Of so many anchors: what pre_nms counts, how many of those survive at most, and their rows.
  std::int64_t counted(std::int64_t anchors) const {
    return whole_anchors_ ? anchors : anchors * classes_;
  }
  std::int64_t kept(std::int64_t anchors) const { return std::min(pre_nms_, counted(anchors)); }
  std::int64_t rows(std::int64_t anchors) const {
    return kept(anchors) * (whole_anchors_ ? classes_ : 1);
  }
  // For ranks until the best of them are chosen.
  std::int64_t room(std::int64_t anchors) const {
    return std::min(2 * pre_nms_, counted(anchors));
  }
  std::int64_t piece_anchors() const { return std::max<std::int64_t>(kPieceScores / columns(), 1); }
  std::int64_t pieces_of(std::int64_t anchors) const {
    return (anchors + piece_anchors() - 1) / piece_anchors();
  }
  // The factors of a piece, and one anchor's softmax.
  double of_thread() const {
    const auto columns = static_cast<double>(this->columns());
    return scratch_bytes<double>(static_cast<double>(piece_anchors())) +
           scratch_bytes<double>(columns) + scratch_bytes<float>(columns);
  }

  std::int64_t anchors_of(const Frame& frame, std::int64_t l) const {
    const conv::FloatMap& scores = frame.floats(levels_[l].scores);
    return static_cast<std::int64_t>(scores.h) * scores.w * anchors_in(levels_[l]);
  }
  // First row of a level.
  std::int64_t place(const Frame& frame, std::int64_t level) const {
    std::int64_t rows = 0;
    for (std::int64_t l = 0; l < level; ++l) rows += this->rows(anchors_of(frame, l));
    return rows;
  }

  // Of the sorted ranks of all levels, those of the pre_nms best scores stay (ties: the lower
  // level). counts: scratch, one for each level.
  void keep_best(Best* best, std::int64_t levels, std::int64_t* counts) const {
    const auto next = [&](std::int64_t l) {
      return static_cast<std::uint32_t>(best[l].ranks[counts[l]] >> 32);
    };
    std::fill_n(counts, levels, std::int64_t{0});
    for (std::int64_t kept = 0; kept < pre_nms_; ++kept) {
      std::int64_t first = -1;
      for (std::int64_t l = 0; l < levels; ++l)
        if (counts[l] < static_cast<std::int64_t>(best[l].count) &&
            (first < 0 || next(l) < next(first)))
          first = l;
      if (first < 0) break;
      ++counts[first];
    }
    for (std::int64_t l = 0; l < levels; ++l) best[l].count = static_cast<std::size_t>(counts[l]);
  }

  // Whether scores are multiplied by factors when they are chosen.
  bool weighted_late() const { return has_factors_ && !factor_first_ && !unweighted_; }

  // Whether anchors count only from some factor on.
  bool limited() const { return factor_threshold_ >= 0; }

  // Offers the scores of some anchors to `best`.
  void look_through(const Frame& frame, const Level& level, std::int64_t first, std::int64_t last,
                    Scratch memory, Best& best) const {
    const float* const logits = frame.floats(level.scores).data;
    double* const factors = memory.take<double>(piece_anchors());
    if (factor_first_ || limited()) {
      std::copy_n(frame.floats(level.factors).data + first, last - first, factors);
      if (!plain_factors_) sigmoid(factors, last - first, frame.loops);
    }
    const auto counts = [&](std::int64_t anchor) {
      return !limited() || static_cast<float>(factors[anchor - first]) > factor_threshold_;
    };
    const auto weighted = [&](float score, std::int64_t anchor) {
      return weighted_by(score, factor_first_ ? factors[anchor - first] : 1);
    };
    const auto offer = [&](float score, std::int64_t index) {
      score = weighted(score, index / classes_);
      if (score < best.least || (has_threshold_ && !(score > threshold_))) return;
      best.push(rank(score, static_cast<std::uint32_t>(index)));
    };
    if (best_class_ || whole_anchors_) {
      const bool threshold = has_threshold_ && !whole_anchors_;
      double* const terms = memory.take<double>(columns());
      float* const scores = memory.take<float>(columns());
      const float hopeless =
          sigmoid_ && threshold ? hopeless_logit() : std::numeric_limits<float>::quiet_NaN();
      // No score is above 1: a factor that is not above the threshold lets none through.
      const bool bounded = threshold && (sigmoid_ || softmax_) && factor_first_ && !plain_factors_;
      for (std::int64_t anchor = first; anchor < last; ++anchor) {
        if (!counts(anchor) || (bounded && !(weighted(1, anchor) > threshold_))) continue;
        const float* const row = logits + anchor * columns();
        if (*std::max_element(row, row + classes_) <= hopeless) continue;
        if (softmax_ && all_below(row, threshold ? std::max(threshold_, best.least) : best.least,
                                  frame.loops))
          continue;
        activate(row, frame.loops, terms, scores);
        for (std::int64_t c = 0; c < classes_; ++c) scores[c] = weighted(scores[c], anchor);
        const std::int64_t best_one = std::max_element(scores, scores + classes_) - scores;
        const float score = scores[best_one];
        if (score < best.least || (threshold && !(score > threshold_))) continue;
        best.push(rank(score, static_cast<std::uint32_t>(anchor * classes_ + best_one)));
      }
    } else if (softmax_) {
      double* const terms = memory.take<double>(columns());
      float* const scores = memory.take<float>(columns());
      for (std::int64_t anchor = first; anchor < last; ++anchor) {
        const float* const row = logits + anchor * columns();
        if (!counts(anchor)) continue;
        if (all_below(row, has_threshold_ ? std::max(threshold_, best.least) : best.least,
                      frame.loops))
          continue;
        lbw::softmax(row, columns(), frame.loops, terms, scores);
        for (std::int64_t c = 0; c < classes_; ++c) offer(scores[c], anchor * classes_ + c);
      }
    } else if (sigmoid_) {
      const float hopeless = hopeless_logit();
      std::int64_t indices[kBlock];
      double scores[kBlock];
      int count = 0;
      const auto flush = [&] {
        lbw::sigmoid(scores, count, frame.loops);
        for (int i = 0; i < count; ++i) offer(static_cast<float>(scores[i]), indices[i]);
        count = 0;
      };
      for (std::int64_t anchor = first; anchor < last; ++anchor) {
        if (!counts(anchor)) continue;
        for (std::int64_t i = anchor * classes_; i < (anchor + 1) * classes_; ++i) {
          if (logits[i] <= hopeless) continue;
          indices[count] = i;
          scores[count++] = logits[i];
          if (count == kBlock) flush();
        }
      }
      flush();
    } else {
      for (std::int64_t anchor = first; anchor < last; ++anchor) {
        if (!counts(anchor)) continue;
        for (std::int64_t i = anchor * classes_; i < (anchor + 1) * classes_; ++i)
          offer(logits[i], i);
      }
    }
  }

  // A score times the factor, if it comes first.
  float weighted_by(float score, double factor) const {
    if (factor_first_) score *= static_cast<float>(factor);
    return root_ ? std::sqrt(score) : score;
  }

  // Whether all shares of an anchor's softmax are below a limit, as those of most are: then its
  // exponentials need not be computed.
  bool all_below(const float* row, float limit, const Loops& loops) const {
    return !factor_first_ && loops.largest_share(row, classes_, columns()) < limit;
  }

  // The scores of one anchor.
  void activate(const float* row, const Loops& loops, double* terms, float* scores) const {
    if (softmax_) {
      lbw::softmax(row, columns(), loops, terms, scores);
    } else if (sigmoid_) {
      std::copy_n(row, classes_, terms);
      lbw::sigmoid(terms, classes_, loops);
      std::copy_n(terms, classes_, scores);
    } else {
      std::copy_n(row, classes_, scores);
    }
  }

  // A logit whose sigmoid is below the threshold, whatever a factor makes of it: most exponentials
  // need not be computed. Not a number, which nothing is below, if there is none.
  float hopeless_logit() const {
    constexpr double kMargin = 1e-3;  // far more than what the sigmoid is off
    // A factor that is no sigmoid may raise a score.
    if (!has_threshold_ || !(threshold_ > 0 && threshold_ < 1) || (factor_first_ && plain_factors_))
      return std::numeric_limits<float>::quiet_NaN();
    const double t = root_ ? threshold_ * threshold_ : threshold_, logit = std::log(t / (1 - t));
    return static_cast<float>(logit - kMargin * (1 + std::fabs(logit)));
  }

  // Decodes the boxes of `best`, in its order; returns the number of those that are large enough.
  std::int64_t emit(const Frame& frame, std::int64_t l, const Best& best, Scratch memory,
                    Candidate* rows) const {
    const Level& level = levels_[l];
    double* const terms = memory.take<double>(columns());
    float* const scores = memory.take<float>(columns());
    const conv::FloatMap& logits = frame.floats(level.scores);
    const float* const deltas = has_deltas_ ? frame.floats(level.deltas).data : nullptr;
    const std::int64_t anchors = anchors_in(level);
    std::int64_t first = 0;  // number of this level's first anchor
    for (std::int64_t k = 0; k < l; ++k) first += anchors_of(frame, k);
    std::int64_t written = 0;
    for (std::size_t at = 0; at < best.count; at += kBlock) {
      frame.pool.check();
      const int count = static_cast<int>(std::min<std::size_t>(kBlock, best.count - at));
      Box boxes[kBlock];
      const float* box_deltas[kBlock];
      double factors[kBlock];
      float numbers[kBlock];  // or the level's
      for (int i = 0; i < count; ++i) {
        const std::int64_t anchor = ranked_index(best.ranks[at + i]) / classes_;
        const std::int64_t cell = anchor / anchors;
        const float x = static_cast<float>(cell % logits.w) * level.step;
        const float y = static_cast<float>(cell / logits.w) * level.step;
        const Box& base = level.anchors[anchor % anchors];
        boxes[i] = {0, 0, 0, 0};
        if (has_deltas_) {
          boxes[i] = {x + base.x1, y + base.y1, x + base.x2, y + base.y2};
          box_deltas[i] = deltas + coder_.numbers() * anchor;
        }
        if (has_factors_) factors[i] = frame.floats(level.factors).data[anchor];
        numbers[i] = static_cast<float>(numbered_ ? first + anchor : l);
      }
      if (has_factors_ && !plain_factors_) sigmoid(factors, count, frame.loops);
      if (has_deltas_)
        coder_.decode(boxes, box_deltas, count, frame.bounds.height, frame.bounds.width,
                      frame.loops, level.stride);
      for (int i = 0; i < count; ++i) {
        const Box& box = boxes[i];
        if (min_size_ >= 0 && !(box.x2 - box.x1 > min_size_ && box.y2 - box.y1 > min_size_))
          continue;
        const std::uint64_t rank = best.ranks[at + i];
        if (whole_anchors_) {
          activate(logits.data + ranked_index(rank) / classes_ * columns(), frame.loops, terms,
                   scores);
          for (std::int64_t c = 0; c < std::min(classes_, objects_); ++c) {
            const float score = weighted_by(scores[c], factor_first_ ? factors[i] : 1);
            if (has_threshold_ && !(score > threshold_)) continue;
            const float late = weighted_late() ? static_cast<float>(factors[i]) : 1;
            rows[written++] = {box, score * late, static_cast<float>(c), numbers[i]};
          }
          continue;
        }
        const std::int64_t label = ranked_index(rank) % classes_;
        if (label >= objects_) continue;
        const bool raw = !sigmoid_ && !softmax_;
        float score = raw ? logits.data[ranked_index(rank)] : ranked_score(rank);
        // A rank keeps no sign of zero, which a raw score may have.
        if (raw && factor_first_) score = weighted_by(score, factors[i]);
        if (weighted_late()) score *= static_cast<float>(factors[i]);
        rows[written++] = {box, score, static_cast<float>(label), numbers[i]};
      }
    }
    return written;
  }

  std::vector<Level> levels_;
  Coder coder_;
  std::int64_t classes_, pre_nms_, objects_;
  float min_size_, threshold_ = 0;
  bool has_threshold_, factor_first_, best_class_, root_, whole_anchors_, plain_factors_, together_;
  bool unweighted_, numbered_;
  float factor_threshold_;
  bool has_deltas_, has_factors_, sigmoid_, softmax_;
};

const Registered<CandidatesOperation> registered("Candidates");

}  // namespace
}  // namespace lbw
