// SPDX-License-Identifier: Apache-2.0
// Sandboxes or containers by id, and by what clients ask for them: labels, their pod, their name. So a list of one pod
// costs the same however many there are. A term is a number (a hash) of one such fact, which does not change while the
// object is held; two facts may share one, so that what select() finds has still to be looked at. Pure, loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cri/objects.h"

namespace gantry::cri {

using Term = std::uint64_t;
using Terms = std::vector<Term>;

Term label_term(std::string_view key, std::string_view value);
Term pod_term(std::string_view sandbox_id);
// Of a sandbox's metadata, and of a container's in its sandbox.
Term name_term(const v1::PodSandboxMetadata& metadata);
Term name_term(std::string_view sandbox_id, const v1::ContainerMetadata& metadata);

Terms terms_of(const Sandbox& sandbox);
Terms terms_of(const Container& container);

// What is asked for by a filter's labels, and by the pod's id, when that is a whole one.
Terms terms_of(const google::protobuf::Map<std::string, std::string>& label_selector, std::string_view sandbox_id = "");

template <typename Object>
class ObjectTable {
 public:
  using Pointer = std::shared_ptr<Object>;
  using Map = std::map<std::string, Pointer>;

  const Map& all() const { return objects_; }
  auto begin() const { return objects_.begin(); }
  auto end() const { return objects_.end(); }
  auto find(const std::string& id) const { return objects_.find(id); }
  bool contains(const std::string& id) const { return objects_.contains(id); }
  std::size_t size() const { return objects_.size(); }

  void add(const Pointer& object) {
    auto [place, is_new] = objects_.emplace(object->id(), object);
    if (!is_new) return;
    for (Term term : terms_of(*object)) by_term_[term].emplace(object->id(), object);
  }
  void remove(const std::string& id) {
    auto found = objects_.find(id);
    if (found == objects_.end()) return;
    for (Term term : terms_of(*found->second)) {
      auto having = by_term_.find(term);
      if (having == by_term_.end()) continue;  // a term twice
      having->second.erase(found->first);
      if (having->second.empty()) by_term_.erase(having);
    }
    objects_.erase(found);
  }

  // In the order of their ids: all whose id begins with `id_start` and which have all terms, and perhaps others.
  std::vector<Pointer> select(std::string_view id_start, const Terms& terms) const {
    std::vector<Pointer> found;
    if (!id_start.empty() || terms.empty()) {
      for (auto it = objects_.lower_bound(std::string(id_start));
           it != objects_.end() && it->first.starts_with(id_start); ++it) {
        found.push_back(it->second);
      }
      return found;
    }
    const Having* fewest = nullptr;
    for (Term term : terms) {
      auto having = by_term_.find(term);
      if (having == by_term_.end()) return found;
      if (!fewest || having->second.size() < fewest->size()) fewest = &having->second;
    }
    found.reserve(fewest->size());
    for (const auto& [id, object] : *fewest) found.push_back(object);
    return found;
  }

 private:
  using Having = std::map<std::string_view, Pointer>;  // by the objects' own ids

  Map objects_;
  std::unordered_map<Term, Having> by_term_;
};

}  // namespace gantry::cri
