// SPDX-License-Identifier: Apache-2.0
// One exec over a client's channels: starts the process, pumps its streams both ways with back-pressure, tells the
// client how it ended. See streaming.h for when it ends and what the session must do.
#pragma once

#include <memory>

#include "base/loop.h"
#include "base/task.h"
#include "cri/streaming.h"
#include "cri/streaming_channels.h"
#include "cri/streaming_messages.h"

namespace gantry::cri {

// Returns when the client was told, or is gone. The session lives on until its wait() returned.
Task<> run_exec(Loop& loop, std::shared_ptr<Channels> channels, StatusForm form, ExecStreamSet wanted,
                std::shared_ptr<ExecSession> session);

}  // namespace gantry::cri
