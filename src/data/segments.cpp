#include "data/segments.h"

#include <stdexcept>

namespace lococo {
namespace {

void add_segments(const TokenFile& file, int64_t source, int64_t length, int64_t stride,
                  int64_t segments_per_document, size_t most, std::vector<Segment>* segments) {
  for (int64_t document = 0; document < file.num_documents(); ++document) {
    const int64_t last = file.document_length(document) - length - 1;
    int64_t of_document = 0;
    for (int64_t begin = 0; begin <= last; begin += stride) {
      if (segments->size() >= most) return;
      if (segments_per_document > 0 && of_document >= segments_per_document) break;
      segments->push_back({document, begin, length, source});
      ++of_document;
    }
  }
}

void check_arguments(int64_t length, int64_t stride, int64_t segments_per_document,
                     int64_t max_tokens) {
  if (length < 1 || stride < 0 || segments_per_document < 0 || max_tokens < 0) {
    throw std::logic_error("evaluation segments need a positive length and no negative number");
  }
}

}  // namespace

std::vector<Segment> make_segments(const std::vector<std::shared_ptr<const TokenFile>>& files,
                                   int64_t length, int64_t stride, int64_t segments_per_document,
                                   int64_t max_tokens) {
  check_arguments(length, stride, segments_per_document, max_tokens);
  std::vector<Segment> segments;
  for (size_t source = 0; source < files.size(); ++source) {
    add_segments(*files[source], static_cast<int64_t>(source), length,
                 stride == 0 ? length : stride, segments_per_document,
                 static_cast<size_t>(max_tokens / length), &segments);
  }
  return segments;
}

std::vector<Segment> make_longlora_segments(
    const std::vector<std::shared_ptr<const TokenFile>>& files, int64_t window,
    int64_t max_tokens) {
  constexpr int64_t kStride = 256;
  check_arguments(window - 1, kStride, 0, max_tokens);
  const auto most = static_cast<size_t>(max_tokens / window);
  std::vector<Segment> segments;
  for (size_t source = 0; source < files.size(); ++source) {
    for (int64_t document = 0; document < files[source]->num_documents(); ++document) {
      const int64_t end = files[source]->document_length(document) - window;
      for (int64_t begin = 0; begin + kStride < end; begin += kStride) {
        if (segments.size() >= most) return segments;
        segments.push_back({document, begin, window - 1, static_cast<int64_t>(source)});
      }
    }
  }
  return segments;
}

std::vector<int64_t> segment_tokens(const TokenFile& file, const Segment& segment) {
  if (segment.begin + segment.length + 1 > file.document_length(segment.document)) {
    throw std::out_of_range("segment");
  }
  std::vector<int64_t> tokens(static_cast<size_t>(segment.length) + 1);
  file.copy(file.document_begin(segment.document) + segment.begin, segment.length + 1,
            tokens.data());
  return tokens;
}

}  // namespace lococo
