"""95 % intervals: of a few seeds, of a share, of the mean of many values."""

import math
import statistics

# t at 97.5 % by degrees of freedom; from 6 on 2.45 is at most 0.5 too wide.
STUDENT = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57}


def half_width(values):
    """Of Student's 95 % interval of the mean; 0 for one value, which has none."""
    if len(values) < 2:
        return 0.0
    return STUDENT.get(len(values) - 1, 2.45) * statistics.stdev(values) / math.sqrt(len(values))


def wilson(share, trials, z=1.96):
    """(low, high) of a share, after Wilson."""
    if trials == 0:
        return 0.0, 1.0
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def mean_interval(values, z=1.96):
    """(mean, low, high) by the normal distribution; one value alone has no interval."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan, math.nan
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    return mean, mean - z * error, mean + z * error
