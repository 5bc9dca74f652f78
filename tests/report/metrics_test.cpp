#include "report/metrics.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "report/append_file.h"
#include "report/progress.h"
#include "report/tensorboard.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

namespace lococo {
namespace {

StepMetrics metrics_of(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 4.0 / static_cast<double>(step);
  metrics.tokens = 1000 * step;
  metrics.tokens_per_s = 1234.5;
  metrics.peak_memory_bytes = int64_t{3} << 30;
  metrics.lr = 5e-3;
  metrics.grad_norm = 0.75;
  return metrics;
}

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::istringstream text(read_text_file(path));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::vector<int64_t> steps_of(const std::string& path) {
  std::vector<int64_t> steps;
  for (const nlohmann::json& line : lines_of(path)) steps.push_back(line.at("step"));
  return steps;
}

// A Python with TensorBoard's reader, or nothing.
std::string python_with_tensorboard() {
  const char* chosen = std::getenv("LOCOCO_PYTHON");
  const std::string python = chosen ? chosen : LOCOCO_SOURCE_DIR "/.venv/bin/python";
  const std::string probe = "'" + python + "' -c 'import tensorboard' >/dev/null 2>&1";
  return std::system(probe.c_str()) == 0 ? python : "";
}

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[256];
  while (fgets(buffer, sizeof buffer, pipe) != nullptr) output += buffer;
  REQUIRE(pclose(pipe) == 0);
  return output;
}

}  // namespace

TEST_CASE("Each step is one JSON line with every figure", "[report][metrics]") {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/metrics.jsonl";
  MetricsWriter writer(folder.path(), 0, /*tensorboard=*/false);
  for (int64_t step = 1; step <= 3; ++step) {
    writer.write(metrics_of(step));
    REQUIRE(lines_of(path).size() == static_cast<size_t>(step));  // written at once
  }
  const nlohmann::json line = lines_of(path)[1];
  CHECK(line.size() == 7);
  CHECK(line.at("step") == 2);
  CHECK(line.at("loss") == 2.0);
  CHECK(line.at("tokens") == 2000);
  CHECK(line.at("tokens_per_s") == 1234.5);
  CHECK(line.at("peak_memory_bytes") == (int64_t{3} << 30));
  CHECK(line.at("lr") == 5e-3);
  CHECK(line.at("grad_norm") == 0.75);
  CHECK_FALSE(std::filesystem::exists(folder.path() + "/evaluation.jsonl"));
}

TEST_CASE("A resumed run cuts off later steps and an unfinished line", "[report][metrics]") {
  const testing::TemporaryFolder folder;
  const std::string metrics = folder.path() + "/metrics.jsonl";
  const std::string evaluation = folder.path() + "/evaluation.jsonl";
  {
    MetricsWriter writer(folder.path(), 0, false);
    for (int64_t step = 1; step <= 6; ++step) writer.write(metrics_of(step));
    writer.write_evaluation(2, {{"loss", 1.0}});
    writer.write_evaluation(5, {{"loss", 0.5}, {"accuracy", 0.25}});
  }
  append_to_file(metrics, "{\"step\": 7, \"lo");
  MetricsWriter resumed(folder.path(), 4, false);
  CHECK(steps_of(metrics) == std::vector<int64_t>{1, 2, 3, 4});
  CHECK(steps_of(evaluation) == std::vector<int64_t>{2});
  resumed.write(metrics_of(5));
  CHECK(steps_of(metrics) == std::vector<int64_t>{1, 2, 3, 4, 5});
}

TEST_CASE("A fresh run starts a fresh file", "[report][metrics]") {
  const testing::TemporaryFolder folder;
  MetricsWriter(folder.path(), 0, false).write(metrics_of(1));
  MetricsWriter(folder.path(), 0, false).write(metrics_of(1));
  CHECK(steps_of(folder.path() + "/metrics.jsonl") == std::vector<int64_t>{1});
}

TEST_CASE("A foreign metrics.jsonl and an unwritable folder are the user's to mend",
          "[report][metrics]") {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path() + "/metrics.jsonl";
  write_text_file(path, "{\"step\": 1}\nnotes\n{\"step\": 2}\n");
  const std::string error = testing::user_error_of([&] { MetricsWriter(folder.path(), 2, false); });
  CHECK_CONTAINS(error, "metrics.jsonl:2");
  CHECK_THROWS_AS(MetricsWriter("/proc/no-such-place", 0, false), UserError);
  CHECK_THROWS_AS(append_to_file("/dev/full", "x"), UserError);
}

TEST_CASE("A loss that is not finite is still a JSON line", "[report][metrics]") {
  const testing::TemporaryFolder folder;
  MetricsWriter writer(folder.path(), 0, true);
  StepMetrics metrics = metrics_of(1);
  metrics.loss = std::numeric_limits<double>::quiet_NaN();
  writer.write(metrics);
  CHECK(lines_of(folder.path() + "/metrics.jsonl")[0].at("loss").is_null());
}

TEST_CASE("CRC-32C and TFRecord frames match their specifications", "[report][tensorboard]") {
  CHECK(crc32c("") == 0u);
  CHECK(crc32c("123456789") == 0xE3069283u);            // the catalogue's check value
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);  // RFC 3720, B.4
  const std::string frame = tfrecord("abc");
  REQUIRE(frame.size() == 8 + 4 + 3 + 4);
  CHECK(frame.substr(0, 8) == std::string("\3\0\0\0\0\0\0\0", 8));
  CHECK(frame.substr(12, 3) == "abc");
}

TEST_CASE("A scalar event is the protocol buffer that TensorBoard expects",
          "[report][tensorboard]") {
  const std::string event = scalar_event(1.0, 300, {{"a", 1.0}});
  const std::string expected(
      "\x09\0\0\0\0\0\0\xF0\x3F"  // wall_time: double 1.0
      "\x10\xAC\x02"              // step: varint 300
      "\x2A\x0A"                  // summary of 10 bytes
      "\x0A\x08"                  // value of 8 bytes
      "\x0A\x01\x61"              // tag "a"
      "\x15\0\0\x80\x3F",         // simple_value: float 1.0
      9 + 3 + 2 + 2 + 3 + 5);
  CHECK(event == expected);
}

TEST_CASE("TensorBoard's own reader sees every step once after a resume", "[report][tensorboard]") {
  const std::string python = python_with_tensorboard();
  if (python.empty()) SKIP("no Python with tensorboard (.venv, or LOCOCO_PYTHON)");
  const testing::TemporaryFolder folder;
  {
    MetricsWriter writer(folder.path(), 0, true);
    for (int64_t step = 1; step <= 6; ++step) writer.write(metrics_of(step));
  }
  {
    MetricsWriter writer(folder.path(), 4, true);
    writer.write(metrics_of(5));
    writer.write_evaluation(5, {{"loss", 0.5}});
  }
  const std::string script =
      "import sys\n"
      "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
      "a = EventAccumulator(sys.argv[1]); a.Reload()\n"
      "print([(e.step, round(e.value, 4)) for e in a.Scalars(\"train/loss\")])\n"
      "print([(e.step, e.value) for e in a.Scalars(\"eval/loss\")])\n";
  write_text_file(folder.path() + "/read.py", script);
  const std::string output = output_of("'" + python + "' '" + folder.path() + "/read.py' '" +
                                       folder.path() + "' 2>/dev/null");
  CHECK(output ==
        "[(1, 4.0), (2, 2.0), (3, 1.3333), (4, 1.0), (5, 0.8)]\n"
        "[(5, 0.5)]\n");
}

TEST_CASE("The progress line shows step, loss, speed, memory and time left", "[report][progress]") {
  CHECK(progress_text(metrics_of(2), 200, 3725.4) ==
        "step 2/200  loss 2.0000  1.23k tokens/s  peak 3.00 GiB  ETA 1:02:05");
  CHECK(progress_text(metrics_of(2), 200, -1).find("ETA") == std::string::npos);
}

}  // namespace lococo
