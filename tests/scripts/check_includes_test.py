#!/usr/bin/env python3
"""The include checker accepts a clean tree and reports every kind of planted violation."""

import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import check_includes  # noqa: E402

def header(text=""):
    return "#pragma once\n" + text


CLEAN = {
    "src/config/config.h": "#pragma once\n#include <string>\n",
    "src/config/config.cpp": '#include "config/config.h"\n',
    "src/config/config_yaml.h": header(),
    "src/config/config_yaml.cpp": '#include "config/config_yaml.h"\n#include <yaml-cpp/yaml.h>\n',
    "src/tokenizer/sentencepiece_tokenizer.h": header(),
    "src/tokenizer/sentencepiece_tokenizer.cpp":
        '#include "tokenizer/sentencepiece_tokenizer.h"\n#include <sentencepiece_processor.h>\n',
    "src/model/llama.h": '#pragma once\n#include <torch/types.h>\n#include "config/config.h"\n',
    "src/train/trainer.h": header('#include "data/batch.h"\n'),
    "src/train/trainer.cpp": '#include "train/trainer.h"\n#include "model/llama.h"\n',
    "src/dist/communicator_mpi.h": header(),
    "src/dist/communicator_mpi.cpp": '#include "dist/communicator_mpi.h"\n#include <mpi.h>\n',
    "tools/train.cpp": "#include <CLI/CLI.hpp>\n",
}


class CheckIncludes(unittest.TestCase):

    def violations(self, planted, lists=None):
        """Violations of the clean tree with these files, all of them built unless `lists` says."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            files = {**CLEAN, **planted}
            for top in ("src", "tools"):
                files[f"{top}/CMakeLists.txt"] = "\n".join(
                    name[len(top) + 1:] for name in files
                    if name.startswith(top) and name.endswith((".cpp", ".cu")))
            for name, text in {**files, **(lists or {})}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check_includes.check(root)

    def expect_one(self, kind, name, text):
        """One violation; a planted source has its header, included first."""
        planted = {name: text}
        path = pathlib.PurePath(name)
        if path.parts[0] == "src" and path.suffix in (".cpp", ".cu") and name not in CLEAN:
            own = path.with_suffix(".h").as_posix()
            planted = {own: header(), name: f'#include "{own[4:]}"\n' + text}
        found = self.violations(planted)
        self.assertEqual(len(found), 1, found)
        self.assertIn(name, found[0])
        self.assertIn(kind, found[0])

    def test_a_clean_tree_has_no_violation(self):
        self.assertEqual(self.violations({}), [])

    def test_an_include_down_the_order_is_reported(self):
        self.expect_one("order", "src/lococo/conv.h", '#pragma once\n#include "model/llama.h"\n')

    def test_data_and_model_never_meet(self):
        self.expect_one("order", "src/model/x.cpp", '#include "data/batch.h"\n')
        self.expect_one("order", "src/data/x.cpp", '#include "model/llama.h"\n')

    def test_rooms_below_a_room_have_an_order_of_their_own(self):
        self.expect_one("order", "src/tensor/kit/x.cpp", '#include "tensor/layers/y.h"\n')
        self.expect_one("order", "src/dist/x.cpp", '#include "tensor/layers/y.h"\n')
        self.assertEqual(self.violations({"src/model/x.h": header('#include "tensor/kit/y.h"\n')}),
                         [])

    def test_sources_do_not_include_tests(self):
        self.expect_one("order", "src/model/x.cpp", '#include "tests/support/catch.h"\n')

    def test_an_unknown_folder_is_reported(self):
        self.expect_one("not in the order", "src/extra/x.h", header("#include <string>\n"))

    def test_a_cycle_is_reported(self):
        found = self.violations({
            "src/model/a.h": '#pragma once\n#include "model/b.h"\n',
            "src/model/b.h": '#pragma once\n#include "model/c.h"\n',
            "src/model/c.h": '#pragma once\n#include "model/a.h"\n',
        })
        self.assertEqual(len(found), 1, found)
        self.assertIn("cycle", found[0])

    def test_each_contained_library_is_reported_elsewhere(self):
        for header in ("mpi.h", "nccl.h", "torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp",
                       "yaml-cpp/yaml.h", "sentencepiece_processor.h", "spdlog/spdlog.h",
                       "torch/torch.h", "CLI/CLI.hpp", "catch2/catch.hpp"):
            with self.subTest(header=header):
                self.expect_one("containment", "src/train/x.cpp", f"#include <{header}>\n")

    def test_a_contained_library_is_reported_in_the_header_of_its_file(self):
        self.expect_one("containment", "src/dist/communicator_nccl.h",
                        "#pragma once\n#include <mpi.h>\n")

    def test_torch_in_torch_free_folders_is_reported(self):
        self.expect_one("torch", "src/report/x.cpp", "#include <torch/types.h>\n")
        self.expect_one("torch", "src/core/x.cpp", "#include <torch/types.h>\n")
        self.expect_one("torch", "src/data/x.cpp", "#include <ATen/ATen.h>\n")

    def test_torch_in_a_cuda_source_is_reported(self):
        self.expect_one("torch", "src/tensor/kit/kernels.cu", "#include <c10/cuda/CUDAStream.h>\n")

    def test_a_long_file_is_reported(self):
        self.expect_one("length", "src/model/long.h", header("\n" * 500))
        self.assertEqual(self.violations({"src/model/long.h": header("\n" * 499)}), [])

    def test_a_source_without_a_header_of_its_own_is_reported(self):
        found = self.violations({"src/model/x.cpp": '#include "config/config.h"\n'})
        self.assertEqual(len(found), 1, found)
        self.assertIn("own header: x.h is missing", found[0])

    def test_a_crowded_room_is_reported(self):
        def room(count):
            files = {}
            for i in range(count):
                files[f"src/pass/x{i}.h"] = header()
                files[f"src/pass/x{i}.cpp"] = f'#include "pass/x{i}.h"\n'
            return files
        self.assertEqual(self.violations(room(20)), [])
        found = self.violations(room(21))
        self.assertEqual(len(found), 1, found)
        self.assertIn("crowd: 21 sources", found[0])

    def test_a_source_that_is_not_built_is_reported(self):
        found = self.violations({}, {"src/CMakeLists.txt": "# all commented out: config/config.cpp\n"})
        self.assertEqual(len(found), len([n for n in CLEAN if n.startswith("src") and ".cpp" in n]))
        self.assertIn("never built", found[0])

    def test_a_listed_source_that_does_not_exist_is_reported(self):
        found = self.violations({}, {"tools/CMakeLists.txt": "tool(train train.cpp)\ntool(x x.cpp)\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn("tools/CMakeLists.txt:2: listed: x.cpp", found[0])

    def test_a_header_without_pragma_once_is_reported(self):
        self.expect_one("header", "src/model/x.h", "#include <string>\n")

    def test_a_source_that_does_not_start_with_its_own_header_is_reported(self):
        found = self.violations({
            "src/model/llama.cpp": '#include "config/config.h"\n#include "model/llama.h"\n'})
        self.assertEqual(len(found), 1, found)
        self.assertIn("the first include must be its own", found[0])

    def test_the_table_of_rooms_in_contributing_is_the_one_that_is_enforced(self):
        text = (pathlib.Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
        table = text.split("## Rooms")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `([\w/]+)` \|[^|]*\|([^|]*)\|$", table, re.M)
        documented = [(room, re.findall(r"`([\w/]+)`", allowed)) for room, allowed in rows]
        enforced = [(room, allowed.split()) for room, allowed in check_includes.ROOMS.items()]
        self.assertEqual(documented, enforced)


if __name__ == "__main__":
    unittest.main()
