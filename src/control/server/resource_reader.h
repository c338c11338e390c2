// SPDX-License-Identifier: Apache-2.0
// ResourceReader: get and list of any kind. Any loop's thread.
#pragma once

#include <functional>
#include <string>

#include "api/time.h"
#include "control/server/caches.h"
#include "control/server/call.h"
#include "control/server/list_options.h"
#include "control/server/view.h"

namespace gantry::control {

class ResourceReader {
 public:
  ResourceReader(Objects objects, const Caches& caches, std::function<api::Timestamp()> now)
      : objects_(objects), caches_(caches), now_(std::move(now)) {}

  Task<Outcome<Object>> get(Call& call, std::string name);

  // The list as a document in that form. 410 when the page's or the asked version is forgotten, with a token by which
  // the rest can be had as it is now.
  Task<Outcome<std::string>> list(Call& call, ListOptions options, AnswerForm form, IncludeObject include);

  // Every object that is selected, for deletecollection.
  Task<Outcome<std::vector<ItemPtr>>> all(Call& call, const Selection& selection);

 private:
  struct Page;
  Task<Outcome<void>> read_page(Call& call, const ListOptions& options, Page* page);
  Task<Outcome<std::optional<Snapshot>>> choose_snapshot(Call& call, const ListOptions& options);
  void read_snapshot(Call& call, const ListOptions& options, const Snapshot& snapshot, Page* page);
  Task<Outcome<void>> read_store(Call& call, const ListOptions& options, Page* page);
  std::string list_json(const api::Kind& kind, const AnswerForm& form, IncludeObject include, const Page& page) const;

  Objects objects_;
  const Caches& caches_;
  std::function<api::Timestamp()> now_;
};

}  // namespace gantry::control
