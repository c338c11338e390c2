// SPDX-License-Identifier: Apache-2.0
// What is known of images that the agent has pulled, in files, as kubelet's image_manager folder has them: a node can
// change from one to the other. Never a credential, only hashes of them. Blocking; one writer at a time.
//
//   FOLDER/pulling/sha256-HEX   ImagePullIntent: a pull of that image may have begun; HEX is the hash of its name
//   FOLDER/pulled/sha256-HEX    ImagePulledRecord: it was pulled, and with what; HEX is the hash of the image's id
//
// A file is there whole or not at all, also after a loss of power.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pull_secrets.h"
#include "base/result.h"

namespace gantry::agent {

struct RecordedSecret {
  SecretName secret;
  std::string hash;  // of the credentials, hex
  bool operator==(const RecordedSecret&) const = default;
};

// Who has shown that he may pull an image by one name.
struct PullersOf {
  bool every_pod = false;  // the node itself, or nobody was asked
  std::vector<RecordedSecret> secrets;
  // Of kubelet's credential providers, which have no like here: kept as they are. JSON, or "".
  std::string service_accounts;
};

struct PulledRecord {
  std::string id;                          // of the image
  std::int64_t updated = 0;                // seconds since 1970
  std::map<std::string, PullersOf> names;  // by the image's name without tag and digest
};

std::string write_pulled_record(const PulledRecord& record);
Result<PulledRecord> read_pulled_record(std::string_view text);
std::string write_pull_intent(const std::string& image);
Result<std::string> read_pull_intent(std::string_view text);

// The name of the file of an image's name, or of its id.
std::string pull_record_file(const std::string& name);

class PullRecordFiles {
 public:
  explicit PullRecordFiles(std::string folder) : folder_(std::move(folder)) {}

  struct All {
    std::vector<std::string> intents;  // images' names
    std::vector<PulledRecord> records;
    // Files of either kind that can't be read, by their names (pull_record_file()), and why.
    std::map<std::string, Error> broken;
  };
  // Makes the folders.
  Result<All> load() const;
  Status put_intent(const std::string& image) const;
  Status remove_intent(const std::string& image) const;
  Status put_record(const PulledRecord& record) const;
  Status remove_record(const std::string& id) const;

 private:
  std::string folder_;
};

}  // namespace gantry::agent
