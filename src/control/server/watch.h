// SPDX-License-Identifier: Apache-2.0
// Watches: the changes of a collection as they happen, one JSON document a line. Any loop's thread.
#pragma once

#include "api/time.h"
#include "base/metrics.h"
#include "control/server/caches.h"
#include "control/server/call.h"
#include "control/server/view.h"
#include "http/message.h"

namespace gantry::control {

// The answer that goes on until its time is over, the client leaves, or the client's version is forgotten (410 as an
// ERROR event). Objects that come to be selected are ADDED and those that cease to be are DELETED, whatever happened to
// them. Without a resourceVersion it begins with all that are there; with sendInitialEvents a bookmark says where they
// end. `now` in seconds is for ages; `events`
// counts them, null: nobody does.
Task<Outcome<http::Reply>> watch(Call& call, const Caches& caches, ListOptions options, AnswerForm form,
                                 IncludeObject include, std::function<api::Timestamp()> now, metrics::Counter* events);

}  // namespace gantry::control
