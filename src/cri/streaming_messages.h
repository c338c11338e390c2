// SPDX-License-Identifier: Apache-2.0
// The two messages of the remotecommand protocol: how an exec ended (Kubernetes' Status object, as JSON or, before
// version 4, as text) and the terminal sizes that a client sends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/process.h"

namespace gantry::cri {

enum class StatusForm {
  kText,  // v3 and older: nothing for success, a sentence otherwise
  kJson,  // v4 and newer
};

// What goes on the error stream.
std::string exec_status_message(const Result<sys::ExitStatus>& end, StatusForm form);

struct TerminalSize {
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
};

// Reads {"Width":80,"Height":24} objects, one after the other, from bytes as they come. Field names without regard to
// case and other fields passed over, as upstream's reader has it; what is not there is 0. One object is at most
// kMaxObject bytes.
class TerminalSizeReader {
 public:
  static constexpr std::size_t kMaxObject = 1024;

  // Calls `each` for every whole object. After an error the stream makes no sense any more.
  Status feed(std::string_view bytes, const std::function<void(TerminalSize)>& each);

 private:
  std::string object_;
};

}  // namespace gantry::cri
