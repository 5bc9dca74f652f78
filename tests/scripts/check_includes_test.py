#!/usr/bin/env python3
"""The include checker accepts a clean tree and reports every kind of planted violation."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import check_includes  # noqa: E402

CLEAN = {
    "src/core/config.h": "#pragma once\n#include <string>\n",
    "src/core/config.cpp": '#include "core/config.h"\n',
    "src/core/config_yaml.cpp": '#include "core/config.h"\n#include <yaml-cpp/yaml.h>\n',
    "src/data/tokenizer.cpp": "#include <sentencepiece_processor.h>\n",
    "src/model/llama.h": '#pragma once\n#include <torch/types.h>\n#include "core/config.h"\n',
    "src/train/trainer.cpp": '#include "data/batch.h"\n#include "model/llama.h"\n',
    "src/dist/communicator_mpi.cpp": "#include <mpi.h>\n",
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
        found = self.violations({name: text})
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
        self.assertEqual(self.violations({"src/model/x.cpp": '#include "tensor/kit/y.h"\n'}), [])

    def test_sources_do_not_include_tests(self):
        self.expect_one("order", "src/model/x.cpp", '#include "tests/support/catch.h"\n')

    def test_an_unknown_folder_is_reported(self):
        self.expect_one("not in the order", "src/extra/x.cpp", "#include <string>\n")

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
        self.expect_one("torch", "src/core/x.cpp", "#include <torch/types.h>\n")
        self.expect_one("torch", "src/data/x.cpp", "#include <ATen/ATen.h>\n")

    def test_torch_in_a_cuda_source_is_reported(self):
        self.expect_one("torch", "src/tensor/kit/kernels.cu", "#include <c10/cuda/CUDAStream.h>\n")

    def test_a_long_file_is_reported(self):
        self.expect_one("length", "src/model/long.cpp", "\n" * 501)
        self.assertEqual(self.violations({"src/model/long.cpp": "\n" * 500}), [])

    def test_a_source_that_is_not_built_is_reported(self):
        found = self.violations({}, {"src/CMakeLists.txt": "# all commented out: core/config.cpp\n"})
        self.assertEqual(len(found), len([n for n in CLEAN if n.startswith("src") and ".cpp" in n]))
        self.assertIn("never built", found[0])

    def test_a_listed_source_that_does_not_exist_is_reported(self):
        found = self.violations({}, {"tools/CMakeLists.txt": "tool(train train.cpp)\ntool(x x.cpp)\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn("tools/CMakeLists.txt:2: listed: x.cpp", found[0])

    def test_a_header_without_pragma_once_is_reported(self):
        self.expect_one("header", "src/model/x.h", "#include <string>\n")

    def test_a_source_that_does_not_start_with_its_own_header_is_reported(self):
        self.expect_one("header", "src/model/llama.cpp",
                        '#include "core/config.h"\n#include "model/llama.h"\n')


if __name__ == "__main__":
    unittest.main()
