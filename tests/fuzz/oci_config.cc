// SPDX-License-Identifier: Apache-2.0
// A bundle's config.json, up to the bytes of its plan; and as the files of `exec --process` and `update --resources`.
#include "runtime/launch/launch.h"
#include "runtime/oci/config.h"
#include "runtime/oci/oci_plan.h"
#include "runtime/plan/seccomp.h"
#include "tests/fuzz/fuzz.h"

namespace runtime = gantry::runtime;
namespace oci = gantry::runtime::oci;
using gantry::fuzz::expect;
using gantry::fuzz::expect_sentence;

namespace {

void check_plan(const gantry::Result<oci::PlannedContainer>& planned, std::size_t more_fds) {
  if (!planned) return expect_sentence(planned.error());
  auto bytes = runtime::encode_plan(planned->plan, planned->sources.size() + more_fds);
  if (!bytes) return expect_sentence(bytes.error());
  expect(runtime::clone_needs(*bytes).has_value(), "a plan that was made is read");
  for (const oci::Source& source : planned->sources) expect(source.mount <= planned->plan.mounts.size(), "its mount");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  std::string_view text = gantry::fuzz::text_of(bytes, size);
  const runtime::HostFacts host;
  auto config = oci::parse_config(text);
  if (!config) {
    expect_sentence(config.error());
  } else {
    expect(!config->process || !config->process->args.empty(), "a process has arguments");
    runtime::SeccompCache seccomp(0);
    check_plan(oci::plan_config(*config, host, seccomp), 0);
  }
  auto process = oci::parse_process(text);
  if (!process) {
    expect_sentence(process.error());
  } else {
    runtime::SeccompCache seccomp(0);
    check_plan(oci::plan_exec_process(oci::Config(), *process, host, seccomp), 1);
  }
  if (auto limits = oci::parse_resources(text); !limits) expect_sentence(limits.error());
  return 0;
}
