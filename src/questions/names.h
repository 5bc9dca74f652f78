// Names of people in a text, found without knowing any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lococo {

/// Words of ASCII letters that occur at least twice with a capital within a sentence, never in
/// lower case, and are none of the usual exceptions (titles, days, months, peoples, places, God).
/// In the order of their first such occurrence. Some will be names of other things than people.
std::vector<std::string> names_in(std::string_view text);

}  // namespace lococo
