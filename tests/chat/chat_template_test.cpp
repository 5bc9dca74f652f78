#include "chat/chat_template.h"

#include <random>
#include <string>
#include <utility>

#include "chat/jinja_text.h"
#include "chat/model_template.h"
#include "chat/template_text.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const TemplateValues kValues = {"<s>", "</s>", "01 Feb 2025"};

std::string template_text(const std::string& name) {
  return read_text_file(LOCOCO_SOURCE_DIR "/tests/support/chat_templates/" + name + ".jinja");
}

ChatTemplate recognised(const std::string& name) {
  INFO(name);
  const auto found = recognise_template(template_text(name), kValues);
  REQUIRE(found);
  return *found;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a template's canonical text knows neither blanks nor spellings", "[chat]") {
  CHECK(canonical_template("{{ \"a'\" + '\\n' }}") == "{{'a\\'\\n'}}");
  CHECK(canonical_template("{{- message.role+'\n' -}}  x\n") == "{{message['role']+'\\n'}}{{'x'}}");
  CHECK(canonical_template("{# no #}{% if a %}\n  {{ b }}\n  {% endif %}\n") ==
        "{%ifa%}{{'  '}}{{b}}{{'\\n'}}{%endif%}");
  CHECK(canonical_template("a {b} {{ c") == "{{'a {b} '}}{{c");
  CHECK(canonical_template("{% set x = 'never ended") == "{%setx='never ended'");
  CHECK(literal_at("'it\\'s\\n'+b", 1) == "it's\n");
}

TEST_CASE("templates are recognised with what is their own", "[chat]") {
  CHECK(recognised("llama-2").format == ChatFormat::kLlama2);
  CHECK(recognised("llama-2").eos == "</s>");
  CHECK(recognised("llama-3").format == ChatFormat::kLlama3);
  CHECK(recognised("llama-3").trims);
  CHECK(recognised("llama-3").preamble.empty());
  CHECK(recognised("chatml").format == ChatFormat::kChatml);
  CHECK(recognised("chatml").system.empty());
  CHECK(recognised("chatml").bos.empty());
  CHECK_FALSE(recognised("chatml").trims);
  CHECK(recognised("smollm2").system ==
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
  CHECK(recognised("llama-3.1").preamble ==
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
  CHECK(recognised("llama-3.2").preamble ==
        "Cutting Knowledge Date: December 2023\nToday Date: 01 Feb 2025\n\n");
}

TEST_CASE("a form's own text is recognised as what it is", "[chat]") {
  for (const auto format : {ChatFormat::kPlain, ChatFormat::kLlama2, ChatFormat::kLlama3,
                            ChatFormat::kChatml, ChatFormat::kLongLora}) {
    INFO(name_of(format));
    CHECK(format_named(name_of(format)) == format);
    const auto found = recognise_template(template_text(format), kValues);
    REQUIRE(found);
    const auto usual = usual_template(format, kValues);
    CHECK(found->format == format);
    CHECK(found->bos == usual.bos);
    CHECK(found->eos == usual.eos);
    CHECK(found->trims == usual.trims);
    CHECK(found->system.empty());
    CHECK(found->preamble.empty());
  }
  CHECK(template_text(ChatFormat::kNone).empty());
  CHECK(format_named("none") == ChatFormat::kNone);
  CHECK_FALSE(format_named("auto"));
  CHECK_FALSE(recognise_template(template_text(ChatFormat::kPlain) + "{{ 'x' }}", kValues));
}

TEST_CASE("a template that is or may be another one is not recognised", "[chat]") {
  const auto is_known = [](const std::string& text) {
    return recognise_template(text, kValues).has_value();
  };
  CHECK_FALSE(is_known(""));
  CHECK_FALSE(is_known(template_text("zephyr")));
  const auto chatml = template_text("smollm2");
  CHECK(is_known(replaced(chatml, "message['content']", "message.content | trim")));
  CHECK_FALSE(is_known(replaced(chatml, "message['content']", "message['content'] | upper")));
  CHECK_FALSE(is_known(replaced(chatml, "'<|im_end|>' + '\n'", "'<|im_end|>'")));
  CHECK_FALSE(is_known(replaced(chatml, "You are a helpful", "' + name + '")));
  CHECK_FALSE(is_known(chatml + "{{ '<think>' }}"));
  CHECK_FALSE(is_known(replaced(template_text("llama-2"), "'[INST] '", "'[INST]'")));
  CHECK_FALSE(is_known(
      replaced(template_text("llama-2"), "system_message = false", "system_message = 'Be kind'")));
  CHECK_FALSE(is_known(replaced(template_text("llama-3.1"), "\"Today Date: \"", "\"Date: \"")));
  CHECK_FALSE(is_known(replaced(template_text("llama-3.1"), "\"26 Jul 2024\"", "other")));
}

TEST_CASE("whatever a template's text is, it is recognised or not", "[chat]") {
  std::mt19937 random(1);
  int known = 0, rounds = 0;
  for (const std::string name : {"llama-2", "llama-3", "llama-3.2", "smollm2", "zephyr"}) {
    const auto whole = template_text(name);
    for (int round = 0; round < 400; ++round, ++rounds) {
      auto text = whole;
      const auto place = [&] { return random() % text.size(); };
      if (round % 4 == 0) text.resize(place() + 1);
      if (round % 4 == 1) text.erase(place(), 1 + random() % 3);
      if (round % 4 == 2) text.insert(place(), 1, "{}%#-'\"\\\n +"[random() % 11]);
      if (round % 4 == 3) std::swap(text[place()], text[place()]);
      known += recognise_template(text, kValues) ? 1 : 0;
    }
  }
  CHECK(known > 0);
  CHECK(known < rounds);
}

TEST_CASE("a model's template comes from its own files", "[chat]") {
  const TemporaryFolder folder;
  const auto found = [&](const TemplateChoice& choice) {
    return model_template(folder.path(), choice, "01 Feb 2025");
  };
  const TemplateChoice automatic;
  const std::string config = folder / "tokenizer_config.json";
  CHECK_CONTAINS(user_error_of([&] { found(automatic); }), "has no chat template");
  CHECK(found({std::nullopt, /*required=*/false}).format == ChatFormat::kNone);
  CHECK(found({ChatFormat::kChatml}).system.empty());

  write_text_file(config, R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>", "chat_template":
    [{"name": "tool_use", "template": "x"}, {"name": "default", "template":
    "{{bos_token}}{{'<|im_start|>'+message.role+'\n'+message.content+'<|im_end|>\n'}}"}]})");
  CHECK(found(automatic).format == ChatFormat::kChatml);
  CHECK(found(automatic).bos == "<b>");
  CHECK(found({ChatFormat::kChatml}).bos == "<b>");
  CHECK(found({ChatFormat::kLlama2}).bos == "<b>");
  CHECK(found({ChatFormat::kLlama2}).eos == "<e>");
  CHECK(found({ChatFormat::kNone}).bos.empty());

  write_text_file(folder / "chat_template.jinja", template_text("smollm2"));
  CHECK_FALSE(found(automatic).system.empty());
  CHECK_FALSE(found({ChatFormat::kChatml}).system.empty());
  write_text_file(folder / "chat_template.jinja", template_text("zephyr"));
  const auto line = user_error_of([&] { found(automatic); });
  CHECK_CONTAINS(line, "chat_template.jinja: ");
  CHECK_CONTAINS(line, "llama-2, llama-3, chatml, longlora, plain or none");
  CHECK_CONTAINS(user_error_of([&] {
                   found({std::nullopt, /*required=*/false});
                 }),
                 "chat_template.jinja: ");
  CHECK(found({ChatFormat::kChatml}).system.empty());
}

TEST_CASE("a config whose chat template is none at all is refused", "[chat]") {
  const TemporaryFolder folder;
  for (const char* value :
       {"7", "{}", "[]", R"([{"name": "rag", "template": "x"}])", R"([7, "x"])"}) {
    INFO(value);
    write_text_file(folder / "tokenizer_config.json",
                    std::string(R"({"chat_template": )") + value + "}");
    CHECK_CONTAINS(user_error_of([&] { model_template(folder.path(), {}, ""); }),
                   "tokenizer_config.json: chat_template");
  }
  write_text_file(folder / "tokenizer_config.json", R"({"chat_template": null})");
  CHECK_CONTAINS(user_error_of([&] { model_template(folder.path(), {}, ""); }), "has no");
}
