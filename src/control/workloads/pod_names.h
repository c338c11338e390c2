// SPDX-License-Identifier: Apache-2.0
// Names of pods that controllers make: "web-x7k2p" as upstream's, but with letters that follow from who owns the pod
// and which of its pods this is. So who makes a pod again, after an end or because another leader did so too, asks for
// the same name and is told that it exists. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace gantry::control::workloads {

inline constexpr std::string_view kSafeLetters = "bcdfghjklmnpqrstvwxz2456789";  // they form no words
inline constexpr std::size_t kLongestPodPrefix = 58;                            // five letters more are a name

// The same in every release and on every machine.
std::uint64_t stable_hash(std::string_view text);

// Letters and digits that form no words, as upstream has them.
std::string safe_text(std::uint64_t hash, int length);

// What a generated name begins with: "web-", cut so that five characters more are a name.
std::string name_prefix(std::string_view owner_name);

// `slot` says which of the owner's pods it is: a number, a node, an index and a try.
std::string pod_name(std::string_view owner_name, std::string_view owner_uid, std::string_view slot);

// The same; if that is taken, the next of its slot that is not.
std::string free_pod_name(std::string_view owner_name, std::string_view owner_uid, std::string_view slot,
                          const std::function<bool(const std::string& name)>& is_taken);

}  // namespace gantry::control::workloads
