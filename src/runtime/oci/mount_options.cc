// SPDX-License-Identifier: Apache-2.0
#include "runtime/oci/mount_options.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.h"

namespace gantry::runtime::oci {
namespace {

using sys::MountAttr;
using sys::Propagation;

// The three ways to note access times are one field of the kernel's.
constexpr auto kAnyAtime = static_cast<MountAttr>(MOUNT_ATTR__ATIME);

struct Word {
  std::string_view name;
  MountAttr set, clear;
};
// Each also with an "r" before it, for all that is mounted beneath as well.
constexpr auto kAttributes = std::to_array<Word>({
    {"ro", MountAttr::kReadOnly, MountAttr::kNone},
    {"rw", MountAttr::kNone, MountAttr::kReadOnly},
    {"nosuid", MountAttr::kNoSuid, MountAttr::kNone},
    {"suid", MountAttr::kNone, MountAttr::kNoSuid},
    {"nodev", MountAttr::kNoDev, MountAttr::kNone},
    {"dev", MountAttr::kNone, MountAttr::kNoDev},
    {"noexec", MountAttr::kNoExec, MountAttr::kNone},
    {"exec", MountAttr::kNone, MountAttr::kNoExec},
    {"noatime", MountAttr::kNoAtime, kAnyAtime},
    {"atime", MountAttr::kNone, kAnyAtime},
    {"relatime", MountAttr::kNone, kAnyAtime},
    {"norelatime", MountAttr::kStrictAtime, kAnyAtime},
    {"strictatime", MountAttr::kStrictAtime, kAnyAtime},
    {"nostrictatime", MountAttr::kNone, kAnyAtime},
    {"nodiratime", MountAttr::kNoDirAtime, MountAttr::kNone},
    {"diratime", MountAttr::kNone, MountAttr::kNoDirAtime},
    {"nosymfollow", MountAttr::kNoSymFollow, MountAttr::kNone},
    {"symfollow", MountAttr::kNone, MountAttr::kNoSymFollow},
});

constexpr auto kPropagations = std::to_array<std::pair<std::string_view, Propagation>>({
    {"private", Propagation::kPrivate},
    {"slave", Propagation::kSlave},
    {"shared", Propagation::kShared},
    {"unbindable", Propagation::kUnbindable},
});

// Of the whole file system; the kernel takes them by these names. For a bind they mean nothing.
constexpr auto kSuperblock =
    std::to_array<std::string_view>({"sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"});

// Of a file system that is made, as tmpfs is. A bind makes none, and mount(2), as which other runtimes bind, looks at
// none of them: configurations have them.
constexpr auto kSettings = std::to_array<std::string_view>({"mode", "size", "uid", "gid", "nr_inodes", "nr_blocks"});

// Words that say what is so anyway.
constexpr auto kNothing = std::to_array<std::string_view>({"defaults", "silent", "loud", "iversion", "noiversion"});

constexpr auto kUnsupported = std::to_array<std::string_view>({"remount"});

constexpr MountAttr without(MountAttr attributes, MountAttr gone) {
  return static_cast<MountAttr>(sys::raw(attributes) & ~sys::raw(gone));
}

// The last word about a thing counts.
void apply(const Word& word, MountAttr& set, MountAttr& clear) {
  set = without(set, word.clear) | word.set;
  clear = without(clear, word.set) | word.clear;
}

bool take_attribute(std::string_view option, MountOptions& out) {
  for (const Word& word : kAttributes) {
    if (option == word.name) {
      apply(word, out.set, out.clear);
      return true;
    }
    if (option.starts_with('r') && option.substr(1) == word.name) {
      apply(word, out.tree_set, out.tree_clear);
      return true;
    }
  }
  return false;
}

bool take_propagation(std::string_view option, MountOptions& out) {
  for (auto [name, propagation] : kPropagations) {
    if (option == name) {
      out.propagation = propagation;
      return true;
    }
    if (option.starts_with('r') && option.substr(1) == name) {
      out.tree_propagation = propagation;
      return true;
    }
  }
  return false;
}

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options, bool is_bind) {
  MountOptions out{.is_bind = is_bind};
  for (const std::string& option : options) {
    if (option == "bind" || option == "rbind") {
      out.is_bind = true;
      out.is_recursive = option == "rbind";
    } else if (std::ranges::find(kUnsupported, option) != kUnsupported.end()) {
      return fail(Code::kUnimplemented, cat("option ", quoted(option), " is not supported yet"));
    } else if (option == "tmpcopyup") {
      out.copies_up = true;
    } else if (option == "idmap" || option == "ridmap") {
      out.maps_ids = true;
      out.maps_ids_of_tree = option == "ridmap";
    } else if (option.empty()) {
      return invalid_argument("has an empty option");
    } else if (std::ranges::find(kNothing, option) == kNothing.end() && !take_attribute(option, out) &&
               !take_propagation(option, out)) {
      out.data.push_back(option);
    }
  }
  if (!out.is_bind) return out;
  std::erase_if(out.data, [](std::string_view word) {
    std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return std::ranges::find(kSuperblock, word) != kSuperblock.end();
    return std::ranges::find(kSettings, word.substr(0, equals)) != kSettings.end();
  });
  if (!out.data.empty()) return invalid_argument(cat("option ", quoted(out.data[0]), " is unknown for a bind mount"));
  return out;
}

std::vector<std::string> mount_option_words(const MountOptions& options) {
  std::vector<std::string> out;
  if (options.is_bind) out.emplace_back(options.is_recursive ? "rbind" : "bind");
  auto add = [&](MountAttr set, MountAttr clear, std::string_view prefix) {
    for (std::string_view name : {"ro", "nosuid", "nodev", "noexec", "noatime", "strictatime", "nodiratime",
                                  "nosymfollow", "rw", "suid", "dev", "exec"}) {
      const Word& word = *std::ranges::find(kAttributes, name, &Word::name);
      bool is_set = word.set != MountAttr::kNone && sys::has(set, word.set);
      bool is_cleared = word.set == MountAttr::kNone && sys::has(clear, word.clear);
      if (is_set || is_cleared) out.push_back(cat(prefix, name));
    }
  };
  add(options.set, options.clear, "");
  add(options.tree_set, options.tree_clear, "r");
  for (auto [name, propagation] : kPropagations) {
    if (propagation == options.propagation) out.emplace_back(name);
    if (propagation == options.tree_propagation) out.push_back(cat("r", name));
  }
  if (options.maps_ids) out.emplace_back(options.maps_ids_of_tree ? "ridmap" : "idmap");
  if (options.copies_up) out.emplace_back("tmpcopyup");
  out.insert(out.end(), options.data.begin(), options.data.end());
  return out;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> names = {"bind", "rbind", "tmpcopyup", "idmap", "ridmap"};
  for (const Word& word : kAttributes) {
    names.emplace_back(word.name);
    names.push_back(cat("r", word.name));
  }
  for (auto [name, propagation] : kPropagations) {
    names.emplace_back(name);
    names.push_back(cat("r", name));
  }
  for (std::string_view name : kSuperblock) names.emplace_back(name);
  for (std::string_view name : kNothing) names.emplace_back(name);
  std::ranges::sort(names);
  return names;
}

}  // namespace gantry::runtime::oci
