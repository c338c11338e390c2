// SPDX-License-Identifier: Apache-2.0
#include "cdi/folders.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/text.h"
#include "cdi/spec.h"
#include "sys/file.h"
#include "sys/given_files.h"

namespace gantry::cdi {
namespace {

struct File {
  std::string path;
  Spec spec;
};

struct Place {
  std::shared_ptr<const File> file;
  const Device* device = nullptr;
  std::size_t folder = 0;
  std::string other;  // a second file of the same folder that has it
};

struct Found {
  std::map<std::string, Place, std::less<>> devices;  // of those that are asked for
  std::vector<std::string> problems;
};

Result<Spec> read_spec(FdRef folder, const std::string& name) {
  // Not blocking, for a FIFO that nobody writes to.
  auto file = sys::openat(folder, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return std::unexpected(std::move(file.error()));
  auto text = sys::read_regular(*file, kMaxSpecBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  return parse_spec(*text);
}

void take(std::shared_ptr<const File> file, std::size_t folder, const std::set<std::string>& wanted, Found& found) {
  for (const Device& device : file->spec.devices) {
    std::string name = cat(file->spec.kind, "=", device.name);
    if (!wanted.contains(name)) continue;
    Place& place = found.devices[name];
    if (place.file && place.folder == folder) {
      place.other = file->path;
    } else {
      place = {file, &device, folder, ""};
    }
  }
}

void look_into(const std::string& path, std::size_t index, const std::set<std::string>& wanted, Found& found) {
  auto folder = sys::openat(sys::kCwd, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder && folder.error().is_not_found()) return;
  auto names = folder ? sys::list_ending(*folder, {".json", ".yaml"}, kMaxSpecFiles, "specifications")
                      : Result<std::vector<std::string>>(std::unexpected(folder.error()));
  if (!names) {
    found.problems.push_back(cat(path, ": ", names.error().message()));
    return;
  }
  for (const std::string& name : *names) {
    auto file = std::make_shared<File>(File{cat(path, "/", name), {}});
    auto spec = read_spec(*folder, name);
    if (spec) {
      file->spec = std::move(*spec);
      take(std::move(file), index, wanted, found);
    } else {
      found.problems.push_back(cat(file->path, ": ", spec.error().message()));
    }
  }
}

Error unknown(const std::string& name, const std::vector<std::string>& folders, const Found& found) {
  constexpr std::size_t kMostShown = 3;
  std::string where;
  for (const std::string& folder : folders) where += cat(where.empty() ? "" : " or ", folder);
  std::string sentence = cat("CDI device ", quoted(name, kMaxNameBytes), ": no specification in ",
                             where.empty() ? "any folder (none is set)" : where, " has it");
  for (std::size_t i = 0; i < std::min(found.problems.size(), kMostShown); ++i) {
    sentence += cat("; not read: ", as_utf8(found.problems[i], 512));
  }
  if (found.problems.size() > kMostShown) sentence += cat("; and ", found.problems.size() - kMostShown, " more");
  return Error(Code::kNotFound, std::move(sentence));
}

Status check(const std::string& name, const Place& place) {
  std::string who = cat("CDI device ", quoted(name, kMaxNameBytes), ": ");
  if (!place.other.empty()) {
    return fail(Code::kFailedPrecondition, cat(who, place.file->path, " and ", place.other, " both have it"));
  }
  for (const std::string* text : {&place.file->spec.edits, &place.device->edits}) {
    if (text->empty()) continue;
    auto edits = parse_edits(cat("[", *text, "]"));
    if (!edits) return fail_with(std::move(edits.error()), cat(who, place.file->path));
    if (edits->unsupported.empty()) continue;
    return fail(Code::kFailedPrecondition, cat(who, place.file->path, ": containerEdits.", edits->unsupported.front(),
                                               ": not supported by this version"));
  }
  return {};
}

}  // namespace

std::vector<std::string> problems(const std::vector<std::string>& folders) {
  Found found;
  for (std::size_t i = 0; i < folders.size(); ++i) look_into(folders[i], i, {}, found);
  return std::move(found.problems);
}

Result<std::string> resolve(const std::vector<std::string>& folders, const std::vector<std::string>& devices) {
  const std::set<std::string> wanted(devices.begin(), devices.end());
  Found found;
  for (std::size_t i = 0; i < folders.size(); ++i) look_into(folders[i], i, wanted, found);
  std::string text = "[";
  std::set<const File*> seen_files;
  std::set<std::string_view> seen;
  auto add = [&](const std::string& edits) {
    if (!edits.empty()) text += cat(text.size() > 1 ? "," : "", edits);
  };
  for (const std::string& name : devices) {
    auto place = found.devices.find(name);
    if (place == found.devices.end()) return std::unexpected(unknown(name, folders, found));
    if (auto good = check(name, place->second); !good) return std::unexpected(std::move(good.error()));
    if (seen_files.insert(place->second.file.get()).second) add(place->second.file->spec.edits);
    if (seen.insert(name).second) add(place->second.device->edits);
  }
  return text + "]";
}

}  // namespace gantry::cdi
