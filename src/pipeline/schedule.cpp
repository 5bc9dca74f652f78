#include "pipeline/schedule.h"

namespace lococo {

std::vector<Turn> one_forward_one_backward(int64_t blocks, int64_t depth) {
  std::vector<Turn> turns;
  int64_t forward = 0;
  for (int64_t backward = 0; backward < blocks; ++backward) {
    while (forward < blocks && forward < backward + depth) turns.push_back({true, forward++});
    turns.push_back({false, backward});
  }
  return turns;
}

}  // namespace lococo
