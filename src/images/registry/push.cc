// SPDX-License-Identifier: Apache-2.0
#include "images/registry/push.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "images/registry/attempts.h"
#include "images/registry/refusal.h"
#include "images/text.h"

namespace gantry::images {
namespace {

constexpr int kAttempts = 4;
constexpr std::chrono::milliseconds kFirstPause(250);
constexpr std::chrono::seconds kLongestPause(60);
constexpr int kMaxAuthorizations = 2;

bool may_pass(const Error& error) { return error.code() == Code::kUnavailable || error.is_deadline(); }

class Push {
 public:
  Push(const ImageContent& content, const Reference& to, const PushOptions& options, HostAccess& host)
      : content_(content), to_(to), options_(options), host_(host), http_(options.registry.patience, {}) {}

  Result<Digest> run() {
    std::set<Digest> sent;
    std::size_t done = 0;
    for (const ImageContent::Layer& layer : content_.layers) {
      const Descriptor& blob = layer.descriptor;
      auto how = sent.insert(blob.digest).second ? send_blob(blob, Body{.file = layer.file, .size = blob.size})
                                                 : PushProgress::How::kWasThere;
      if (!how) return fail_with(std::move(how.error()), cat("layer ", blob.digest.to_string()));
      ++done;
      if (options_.progress) options_.progress({blob.digest, blob.size, *how, done, content_.layers.size()});
    }
    auto config = send_blob(content_.config, Body{.text = &content_.config_text});
    if (!config) return fail_with(std::move(config.error()), "configuration");
    if (auto put = put_manifest(); !put) return fail_with(std::move(put.error()), "manifest");
    return content_.manifest.digest;
  }

 private:
  struct Body {
    const std::string* text = nullptr;
    FdRef file{};
    std::uint64_t size = 0;
  };

  // One request to the registry, or to where it has blobs sent; its credentials go to the registry alone.
  Result<HttpAnswer> ask(const char* method, const std::string& url, const std::vector<std::string>& headers,
                         const Body& body) {
    auto origin = origin_of(url);
    if (!origin) return std::unexpected(std::move(origin.error()));
    const bool is_away = *origin != host_.host().origin;
    if (is_away && origin->scheme != "https" && host_.host().origin.scheme == "https")
      return invalid_argument(cat("it wants it sent to ", origin->url(), ", which is not https"));
    for (int authorizations = 0;; ++authorizations) {
      auto request = host_.request_for(url);
      if (!request) return std::unexpected(std::move(request.error()));
      if (is_away) request->headers.clear();
      request->method = method;
      request->headers.insert(request->headers.end(), headers.begin(), headers.end());
      if (body.text != nullptr) request->form = *body.text;
      if (body.file.is_open()) request->upload = {body.file, body.size};
      const HostAccess::Right right = host_.right();
      if (!is_away && !right.authorization.empty())
        request->headers.push_back(cat("Authorization: ", right.authorization));
      auto answer = http_.perform(*request, [](const HttpHead&, std::string_view) { return Status(); });
      if (!answer) return answer;
      const int status = answer->head.status;
      retry_after_ = parse_retry_after(answer->head.retry_after, std::chrono::system_clock::now());
      if (status != 401 || is_away || authorizations == kMaxAuthorizations) {
        // That a blob is not there yet is no refusal.
        if (!is_away && !(status == 404 && request->method == "HEAD")) host_.note_answer(status);
        return answer;
      }
      if (auto obtained = host_.obtain(http_, answer->head.challenges, right.number, retry_after_); !obtained)
        return std::unexpected(std::move(obtained.error()));
    }
  }

  // What may be better the next time is tried again.
  template <typename Try>
  auto again(const Try& call) -> std::invoke_result_t<Try> {
    auto wait = kFirstPause;
    for (int attempt = 1;; ++attempt) {
      retry_after_ = std::nullopt;
      auto result = call();
      if (result || !may_pass(result.error())) return result;
      if (attempt == kAttempts) return fail_with(std::move(result.error()), cat("tried ", attempt, " times"));
      if (retry_after_ && *retry_after_ > kLongestPause)
        return fail_with(std::move(result.error()), cat("it is to be asked again in ", retry_after_->count(), " s"));
      std::this_thread::sleep_for(
          std::max<std::chrono::milliseconds>(wait, retry_after_.value_or(std::chrono::seconds(0))));
      wait *= 2;
    }
  }

  Result<PushProgress::How> send_blob(const Descriptor& blob, const Body& body) {
    return again([&] { return send_blob_once(blob, body); });
  }

  Result<PushProgress::How> send_blob_once(const Descriptor& blob, const Body& body) {
    const std::string digest = blob.digest.to_string();
    auto there = ask("HEAD", cat(host_.repository_url(), "/blobs/", digest), {}, {});
    if (!there) return std::unexpected(std::move(there.error()));
    if (there->head.status == 200) return PushProgress::How::kWasThere;
    const std::string uploads = cat(host_.repository_url(), "/blobs/uploads/");
    const std::string other = other_repository();
    auto begun = ask(
        "POST", other.empty() ? uploads : cat(uploads, "?mount=", url_encoded(digest), "&from=", url_encoded(other)),
        {}, {});
    if (!begun) return std::unexpected(std::move(begun.error()));
    if (begun->head.status == 201) return PushProgress::How::kMounted;
    if (begun->head.status != 202) return refused(*begun, "202");
    auto place = resolve_url(uploads, begun->head.location);
    if (!place) return fail_with(std::move(place.error()), "where it wants it sent");
    *place += cat(place->find('?') == std::string::npos ? '?' : '&', "digest=", url_encoded(digest));
    auto put = ask("PUT", *place, {"Content-Type: application/octet-stream"}, body);
    if (!put) return std::unexpected(std::move(put.error()));
    if (put->head.status != 201) return refused(*put, "201");
    return PushProgress::How::kSent;
  }

  // Another repository of this registry that the image came from or went to.
  std::string other_repository() const {
    for (const std::string& name : content_.image.digests) {
      auto reference = parse_reference(name);
      if (reference && reference->domain == to_.domain && reference->path != to_.path) return reference->path;
    }
    return "";
  }

  Status put_manifest() {
    const std::string name = to_.digest ? to_.digest->to_string() : to_.tag;
    const Digest& digest = content_.manifest.digest;
    return again([&]() -> Status {
      auto put = ask("PUT", cat(host_.repository_url(), "/manifests/", name),
                     {cat("Content-Type: ", content_.manifest.media_type)}, Body{.text = &content_.manifest_text});
      if (!put) return std::unexpected(std::move(put.error()));
      if (put->head.status != 201) return refused(*put, "201");
      if (auto said = Digest::parse(put->head.content_digest); said && *said != digest) {
        return invalid_argument(
            cat("it says that it has got ", said->to_string(), ", what was sent is ", digest.to_string()));
      }
      return {};
    });
  }

  const ImageContent& content_;
  const Reference& to_;
  const PushOptions& options_;
  HostAccess& host_;
  HttpConnection http_;
  std::optional<std::chrono::seconds> retry_after_;  // of the last answer
};

}  // namespace

Result<Digest> push(const ImageContent& content, const Reference& to, const PushOptions& options) {
  const std::string what = cat("push ", in_quotes(to.to_string()));
  if (to.digest && *to.digest != content.manifest.digest)
    return invalid_argument(cat(what, ": the image's manifest is ", content.manifest.digest.to_string()));
  auto pushed = with_credentials(to, options.registry, [&](RegistryAccess& access) -> Result<Digest> {
    auto own = std::ranges::find_if(access.hosts(), [](const auto& host) { return !host->host().is_mirror; });
    if (own == access.hosts().end())
      return fail(Code::kFailedPrecondition, "its hosts.toml names mirrors alone; nothing is sent to a mirror");
    if (!(*own)->host().pushes)
      return fail(Code::kFailedPrecondition,
                  cat((*own)->host().name(), ": its hosts.toml gives it no capability push"));
    auto done = Push(content, to, options, **own).run();
    if (!done) return fail_with(std::move(done.error()), (*own)->host().name());
    return done;
  });
  if (!pushed) return fail_with(std::move(pushed.error()), what);
  return pushed;
}

}  // namespace gantry::images
