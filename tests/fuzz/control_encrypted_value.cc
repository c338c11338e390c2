// SPDX-License-Identifier: Apache-2.0
// Values of a store that others can write, too: each is opened or refused, and what is opened is the same after it was
// sealed again.
#include <string>

#include "control/encryption/value_keys.h"
#include "tests/fuzz/fuzz.h"

namespace control = gantry::control;
using gantry::fuzz::expect;

namespace {

constexpr char kKey[] = "/registry/secrets/default/a";

control::ValueKeys make_keys() {
  const auto cipher = [](control::CipherKind kind) { return *control::make_cipher(kind, std::string(32, 'k')); };
  return control::ValueKeys({{"k8s:enc:aesgcm:v1:a:", cipher(control::CipherKind::kAesGcm)},
                             {"k8s:enc:aescbc:v1:a:", cipher(control::CipherKind::kAesCbc)},
                             {"k8s:enc:secretbox:v1:a:", cipher(control::CipherKind::kSecretbox)},
                             {}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const control::ValueKeys keys = make_keys();
  auto opened = keys.open(gantry::fuzz::text_of(bytes, size), kKey);
  if (!opened) {
    expect(opened.error().code() == gantry::Code::kDataLoss, "it is the value that is wrong");
    gantry::fuzz::expect_sentence(opened.error());
    return 0;
  }
  auto sealed = keys.seal(opened->plain, kKey);
  expect(sealed.has_value(), "what was read can be written");
  auto again = keys.open(*sealed, kKey);
  expect(again && again->plain == opened->plain && !again->outdated, "and read again");
  return 0;
}
