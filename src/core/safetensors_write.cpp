#include "core/safetensors_write.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "core/files.h"

namespace lococo {
namespace {

constexpr size_t kHeaderAlignment = 8;
constexpr const char* kMetadataKey = "__metadata__";

size_t bytes_to_write(const TensorToWrite& tensor) {
  size_t total = bytes_of(tensor.dtype);
  for (const int64_t size : tensor.shape) {
    if (size < 0 || __builtin_mul_overflow(total, static_cast<size_t>(size), &total)) {
      throw std::logic_error("write_safetensors: impossible shape of " + tensor.name);
    }
  }
  return total;
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, tensors, metadata, [&](size_t i) { return tensors[i].data; });
}

void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<const std::byte*(size_t)>& bytes_of_tensor) {
  // Wide elements first: then every tensor is aligned to its element, because the header is padded.
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const TensorToWrite* a, const TensorToWrite* b) {
    return bytes_of(a->dtype) > bytes_of(b->dtype);
  });

  // Entries are appended, since an ordered object looks for a name from its beginning.
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  auto& entries = header.get_ref<nlohmann::ordered_json::object_t&>();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  std::set<std::string> names = {kMetadataKey};
  size_t next = 0;
  std::vector<size_t> sizes;
  for (const TensorToWrite* tensor : order) {
    if (!names.insert(tensor->name).second) {
      throw std::logic_error("write_safetensors: the name " + tensor->name + " is taken");
    }
    sizes.push_back(bytes_to_write(*tensor));
    nlohmann::ordered_json entry = {{"dtype", name_of(tensor->dtype)},
                                    {"shape", tensor->shape},
                                    {"data_offsets", {next, next + sizes.back()}}};
    entries.emplace_back(tensor->name, std::move(entry));
    next += sizes.back();
  }

  std::string text = header.dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(&length, sizeof(length));
  file.write(text.data(), text.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const std::byte* data = bytes_of_tensor(static_cast<size_t>(order[i] - tensors.data()));
    if (sizes[i] > 0 && data == nullptr)
      throw std::logic_error("write_safetensors: no data for " + order[i]->name);
    file.write(data, sizes[i]);
  }
  file.commit();
}

}  // namespace lococo
