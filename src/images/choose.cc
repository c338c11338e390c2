// SPDX-License-Identifier: Apache-2.0
#include "images/choose.h"

#include "images/text.h"

namespace gantry::images {
namespace {

// Entries that don't say their platform are read to find it out. Honest indexes say it.
constexpr int kMaxDocuments = 64;

class Choice {
 public:
  Choice(const Descriptor& top, const ReadDocument& read) : top_(top), read_(read) {}

  Result<std::optional<Chosen>> follow(const Descriptor& at, int depth) {
    if (depth > kMaxIndexDepth) return invalid_argument(cat("indexes nested more than ", kMaxIndexDepth, " deep"));
    auto text = read(at);
    if (!text) return std::unexpected(std::move(text.error()));
    auto document = parse_document(*text, at.media_type);
    if (!document) return fail_with(std::move(document.error()), at.digest.to_string());
    if (!document->is_index) return take_manifest(at, std::move(*text), std::move(*document));
    for (const Descriptor& entry : for_this_machine(document->manifests)) {
      auto found = follow(entry, depth + 1);
      if (!found || *found) return found;
    }
    return std::nullopt;
  }

 private:
  Result<std::string> read(const Descriptor& at) {
    if (at.size > kMaxDocumentBytes) {
      return invalid_argument(cat("blob ", at.digest.to_string(), ": a document of ", at.size, " bytes, at most ",
                                  kMaxDocumentBytes, " are allowed"));
    }
    if (++documents_ > kMaxDocuments) {
      return invalid_argument(cat("no image for this machine among the first ", kMaxDocuments, " documents"));
    }
    return read_(at);
  }

  Result<std::optional<Chosen>> take_manifest(const Descriptor& at, std::string text, Document document) {
    auto config_text = read(*document.config);
    if (!config_text) return std::unexpected(std::move(config_text.error()));
    auto config = parse_image_config(*config_text);
    if (!config) return fail_with(std::move(config.error()), document.config->digest.to_string());
    if (config->os != "linux" || config->architecture != kHostArchitecture) return std::nullopt;
    if (document.layers.empty())
      return invalid_argument(cat("manifest ", at.digest.to_string(), ": an image without layers"));
    if (document.layers.size() != config->diff_ids.size()) {
      return invalid_argument(cat("manifest ", at.digest.to_string(), ": ", document.layers.size(),
                                  " layers, its configuration has ", config->diff_ids.size(), " diff_ids"));
    }
    return Chosen{top_, at, std::move(document), std::move(text), std::move(*config_text), std::move(*config)};
  }

  const Descriptor& top_;
  const ReadDocument& read_;
  int documents_ = 0;
};

}  // namespace

Result<std::optional<Chosen>> choose_image(const Descriptor& top, const ReadDocument& read) {
  return Choice(top, read).follow(top, 1);
}

}  // namespace gantry::images
