// The sentences of the passkey task, LongLoRA's (arXiv 2309.12307, passkey_retrivial.py).
#pragma once

namespace lococo {

inline constexpr const char* kPasskeyBefore =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
    "I will quiz you about the important information there.\n";
/// {a} stands for the key.
inline constexpr const char* kPasskeyFact =
    "The pass key is {a}. Remember it. {a} is the pass key.";
inline constexpr const char* kPasskeyQuestion = "What is the pass key?";
inline constexpr const char* kPasskeyPrefix = "The pass key is";

}  // namespace lococo
