// SPDX-License-Identifier: Apache-2.0
#include "images/registry/client.h"

#include <algorithm>
#include <condition_variable>

#include "images/registry/refusal.h"
#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kMaxRedirects = 5;
constexpr int kMaxAuthorizations = 2;  // the second when a token has run out
constexpr int kAttempts = 5;
constexpr std::size_t kMaxBefore = 2000;  // bytes of what mirrors said
constexpr int kMirrorAttempts = 2;
constexpr int kStalls = 2;
constexpr milliseconds kFirstPause(250);
constexpr std::chrono::seconds kLongestPause(60);
// A blob that came on by so much before it broke off has all attempts anew.
constexpr std::uint64_t kProgress = 1U << 20;
// An owner's connection is watched for so many bytes before others are asked to help, and they are only where the rest
// takes so long at its pace.
constexpr std::uint64_t kProbeBytes = 4U << 20;
constexpr std::chrono::seconds kWorthIt(1);
// All of a document must come within so many times the patience.
constexpr int kDocumentPatience = 3;

constexpr char kAcceptManifests[] =
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, "
    "*/*;q=0.1";

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// What servers say of everything says nothing.
std::string said_type(const HttpHead& head) {
  for (std::string_view generic : {"application/json", "application/octet-stream", "text/plain"}) {
    if (head.content_type == generic) return "";
  }
  return head.content_type;
}

}  // namespace

RegistryClient::RegistryClient(RegistryAccess& access, std::stop_token stop)
    : access_(access), http_(access.options().patience, std::move(stop)) {}

Status RegistryClient::pause(milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, http_.stop(), time, [] { return false; });
  if (http_.stop().stop_requested()) return fail(Code::kCancelled, "cancelled");
  return {};
}

// Asks one host after the other: the last as often as it makes sense, the others briefly.
template <typename Ask>
auto RegistryClient::at_some_host(Need need, const Ask& ask) -> std::invoke_result_t<Ask, HostAccess&, bool> {
  std::vector<HostAccess*> able;
  for (const auto& host : access_.hosts()) {
    if (need == Need::kResolve ? host->host().resolves : host->host().pulls) able.push_back(host.get());
  }
  std::string before;
  for (std::size_t i = 0; i < able.size(); ++i) {
    HostAccess& host = *able[i];
    const bool is_last = i + 1 == able.size();
    if (!is_last && host.is_given_up()) continue;
    auto result = again(is_last ? kAttempts : kMirrorAttempts, [&] { return ask(host, is_last); });
    if (result || result.error().is_cancelled()) return result;
    Error error = std::move(result.error()).with_context(host.host().name());
    const bool is_absent = error.code() == Code::kUnavailable || error.is_deadline();
    if (is_last && before.empty()) return std::unexpected(std::move(error));
    if (is_last) return std::unexpected(Error(error.code(), cat(error.message(), " (before: ", before, ")")));
    if (is_absent) host.give_up();
    if (before.size() < kMaxBefore) before += cat(before.empty() ? "" : "; ", as_utf8(error.message(), 300));
  }
  return fail(Code::kFailedPrecondition,
              cat("none of its hosts is configured to ", need == Need::kResolve ? "resolve a tag" : "be pulled from"));
}

// Calls until it is answered, or it makes no sense any more.
template <typename Try>
auto RegistryClient::again(int attempts, const Try& call) -> std::invoke_result_t<Try> {
  int failures = 0;
  int stalls = 0;
  milliseconds wait = kFirstPause;
  std::uint64_t received = received_;
  for (;;) {
    retry_after_ = std::nullopt;
    auto result = call();
    if (result) return result;
    bool stalled = result.error().is_deadline();
    if (!stalled && result.error().code() != Code::kUnavailable) return result;
    if (received_ - received >= kProgress) {
      failures = stalls = 0;
      wait = kFirstPause;
    }
    received = received_;
    ++failures;
    stalls += stalled ? 1 : 0;
    if (failures == attempts || stalls == kStalls)
      return fail_with(std::move(result.error()), cat("tried ", failures, " times"));
    if (retry_after_ && *retry_after_ > kLongestPause) {
      return fail_with(std::move(result.error()), cat("it is to be asked again in ", retry_after_->count(), " s"));
    }
    auto paused = pause(std::max<milliseconds>(wait, retry_after_.value_or(std::chrono::seconds(0))));
    if (!paused) return std::unexpected(std::move(paused.error()));
    wait *= 2;
  }
}

// One request, with what it leads to.
Result<HttpAnswer> RegistryClient::get(HostAccess& host, const std::string& path,
                                       const std::vector<std::string>& headers, const BodySink& sink,
                                       milliseconds limit) {
  std::string url = cat(host.repository_url(), path, host.query());
  bool away = false;
  int redirects = 0;
  int authorizations = 0;
  for (;;) {
    auto origin = origin_of(url);
    if (!origin) return std::unexpected(std::move(origin.error()));
    away = away || *origin != host.host().origin;
    auto request = host.request_for(url);
    if (!request) return std::unexpected(std::move(request.error()));
    if (away) request->headers.clear();
    request->headers.insert(request->headers.end(), headers.begin(), headers.end());
    request->limit = limit;
    const HostAccess::Right right = host.right();
    if (!away && !right.authorization.empty()) request->headers.push_back(cat("Authorization: ", right.authorization));
    auto answer = http_.perform(*request, sink);
    if (!answer && away) return fail_with(std::move(answer.error()), cat("redirected to ", origin->name()));
    if (!answer) return answer;
    const HttpHead& head = answer->head;
    if (is_redirect(head.status)) {
      if (++redirects > kMaxRedirects) return invalid_argument(cat("more than ", kMaxRedirects, " redirects"));
      auto next = resolve_url(url, head.location);
      if (!next) return fail_with(std::move(next.error()), "a redirect");
      auto next_origin = origin_of(*next);
      if (!next_origin) return fail_with(std::move(next_origin.error()), "a redirect");
      if (origin->scheme == "https" && next_origin->scheme != "https")
        return invalid_argument(cat("a redirect from https to ", next_origin->url(), ", which is not followed"));
      url = std::move(*next);
      continue;
    }
    if (head.status == 401 && !away && ++authorizations <= kMaxAuthorizations) {
      if (auto obtained = host.obtain(http_, head.challenges, right.number, retry_after_); !obtained)
        return std::unexpected(std::move(obtained.error()));
      continue;
    }
    if (head.status == 200 || head.status == 206) return answer;
    retry_after_ = parse_retry_after(head.retry_after, std::chrono::system_clock::now());
    if (!away) host.note_answer(head.status);
    if (away) answer->refusal.clear();  // not the registry's own words
    auto error = refused(*answer, "200");
    return away ? fail_with(std::move(error.error()), cat("redirected to ", origin->name())) : error;
  }
}

Result<HttpAnswer> RegistryClient::read_text(HostAccess& host, const std::string& path,
                                             const std::vector<std::string>& headers, std::size_t limit,
                                             std::string& text) {
  text.clear();
  return get(
      host, path, headers,
      [&](const HttpHead&, std::string_view bytes) -> Status {
        if (text.size() + bytes.size() > limit)
          return invalid_argument(cat("it sends more than the ", limit, " bytes that were expected"));
        text += bytes;
        return {};
      },
      access_.options().patience* kDocumentPatience);
}

Result<RegistryClient::Manifest> RegistryClient::manifest(const Reference& reference) {
  const std::string name = reference.digest ? reference.digest->to_string() : reference.tag;
  return at_some_host(reference.digest ? Need::kPull : Need::kResolve, [&](HostAccess& host, bool) {
    auto manifest = manifest_of(host, reference);
    if (!manifest) manifest = fail_with(std::move(manifest.error()), cat("manifest ", in_quotes(name)));
    return manifest;
  });
}

Result<RegistryClient::Manifest> RegistryClient::manifest_of(HostAccess& host, const Reference& reference) {
  const std::string name = reference.digest ? reference.digest->to_string() : reference.tag;
  std::string text;
  auto answer = read_text(host, cat("/manifests/", name), {kAcceptManifests}, kMaxDocumentBytes, text);
  if (!answer) return std::unexpected(std::move(answer.error()));
  Descriptor descriptor{said_type(answer->head), digest_of(text), text.size(), std::nullopt, {}};
  if (reference.digest && descriptor.digest != *reference.digest)
    return invalid_argument(cat("what came has the digest ", descriptor.digest.to_string()));
  if (auto said = Digest::parse(answer->head.content_digest); said && *said != descriptor.digest) {
    return invalid_argument(cat("what came has the digest ", descriptor.digest.to_string(), ", expected ",
                                said->to_string(), " as its header says"));
  }
  // Read here for the sake of the next host, which may say something better.
  if (auto document = parse_document(text, descriptor.media_type); !document)
    return std::unexpected(std::move(document.error()));
  return Manifest{std::move(descriptor), std::move(text)};
}

Result<std::string> RegistryClient::document(const Descriptor& descriptor) {
  const bool is_manifest = is_index_type(descriptor.media_type) || is_manifest_type(descriptor.media_type);
  return at_some_host(Need::kPull, [&](HostAccess& host, bool) {
    auto text = document_of(host, descriptor);
    if (!text) {
      text = fail_with(std::move(text.error()),
                       cat(is_manifest ? "manifest " : "configuration ", descriptor.digest.to_string()));
    }
    return text;
  });
}

Result<std::string> RegistryClient::document_of(HostAccess& host, const Descriptor& descriptor) {
  const bool is_manifest = is_index_type(descriptor.media_type) || is_manifest_type(descriptor.media_type);
  std::vector<std::string> headers;
  if (is_manifest) headers.emplace_back(kAcceptManifests);
  std::string text;
  const std::string path = cat(is_manifest ? "/manifests/" : "/blobs/", descriptor.digest.to_string());
  auto answer = read_text(host, path, headers, descriptor.size, text);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (text.size() != descriptor.size)
    return invalid_argument(cat(text.size(), " bytes came, expected ", descriptor.size));
  if (digest_of(text) != descriptor.digest)
    return invalid_argument(cat("what came has the digest ", digest_of(text).to_string()));
  return text;
}

namespace {

std::string blob_path(const Digest& digest) { return cat("/blobs/", digest.to_string()); }

// What an owner waits for: the network, or whoever takes what came. Says whether help would gain anything.
class Pace {
 public:
  void took(std::uint64_t bytes, Clock::duration time) {
    bytes_ += bytes;
    taking_ += time;
  }
  bool wants_help(std::uint64_t missing) const {
    if (bytes_ < kProbeBytes || missing < 2 * PartBoard::kPartBytes) return false;
    const std::chrono::duration<double> all = Clock::now() - start_;
    return taking_ * 2 < all && all * (static_cast<double>(missing) / static_cast<double>(bytes_)) > kWorthIt;
  }

 private:
  const Clock::time_point start_ = Clock::now();
  Clock::duration taking_{0};
  std::uint64_t bytes_ = 0;
};

}  // namespace

// A blob on its way: what has come of it, and from how many.
class RegistryClient::Incoming {
 public:
  Incoming(const Descriptor& descriptor, const BlobSink& sink, PartBoard::Blob& parts)
      : descriptor_(descriptor), sink_(sink), parts_(parts) {}

  std::uint64_t done() const { return done_; }
  std::uint64_t missing() const { return descriptor_.size - done_; }
  const Descriptor& descriptor() const { return descriptor_; }
  PartBoard::Blob& parts() { return parts_; }

  // What a host has sent. What the sink finds wrong ends it, unless that may be another's doing: whether it is, the
  // digest tells.
  Status take(const HostAccess& host, std::string_view bytes, bool is_last) {
    return take_from(&host, bytes, false, is_last);
  }

  // What helpers have brought of what is next. They count as one more giver.
  Status take_parts(const std::stop_token& stop) {
    for (;;) {
      auto ready = parts_.ready(done_, stop);
      if (!ready) return std::unexpected(std::move(ready.error()));
      if (*ready == 0) return {};
      ranges_work();
      block_.resize(std::min<std::uint64_t>(*ready, kReadBlock));
      auto count = sys::pread(file_, block_.data(), block_.size(), done_);
      if (!count) return std::unexpected(std::move(count.error()));
      if (*count == 0) return fail(Code::kDataLoss, "what came is not in its file");
      if (auto taken = take_from(&parts_, std::string_view(block_).substr(0, *count), true, false); !taken)
        return taken;
    }
  }

  // What is missing comes from this host, whose answer to us has this head: may others help?
  void consider_help(HostAccess& host, const HttpHead& head, const Pace& pace) {
    if (was_offered_ || !pace.wants_help(missing())) return;
    was_offered_ = true;
    auto ours = sink_.share_file();
    auto theirs = sink_.share_file();
    if (!ours || !theirs) return;  // no descriptor to spare
    file_ = std::move(*ours);
    parts_.offer({&host, descriptor_.digest, head.etag, std::move(*theirs)});
  }

  // Some servers hang or refuse when they are asked for a range. Who would not have asked, had nobody helped, does
  // without.
  void ranges_work() { ranges_work_ = true; }
  bool may_ask_for_ranges() const { return ranges_work_ || !was_offered_; }

  // All has come. When it is wrong, all of it must come again, and nobody helps.
  Status check() {
    if (auto begun = begin(); !begun) return begun;
    const Digest came = hasher_->finish();
    if (came == descriptor_.digest) return {};
    parts_.withdraw();
    was_offered_ = true;
    last_giver_ = nullptr;
    givers_ = 0;
    done_ = 0;
    hasher_.reset();
    fault_.reset();
    return invalid_argument(cat("what came has the digest ", came.to_string()));
  }
  bool is_of_several() const { return givers_ > 1; }
  std::optional<Error>& fault() { return fault_; }

 private:
  static constexpr std::size_t kReadBlock = 256 << 10;

  Status begin() {
    if (hasher_) return {};
    hasher_.emplace();
    auto begun = sink_.begin();
    if (begun) return {};
    fault_ = std::move(begun.error());
    return fail(Code::kCancelled, "ended");
  }

  Status take_from(const void* giver, std::string_view bytes, bool is_kept, bool is_last) {
    if (last_giver_ != giver) ++givers_;
    last_giver_ = giver;
    if (auto begun = begin(); !begun) return begun;
    done_ += bytes.size();
    hasher_->update(bytes);
    if (!fault_) {
      if (auto taken = sink_.take(bytes, is_kept); !taken) fault_ = std::move(taken.error());
    }
    if (fault_ && is_last && givers_ == 1) return fail(Code::kCancelled, "ended");
    return {};
  }

  const Descriptor& descriptor_;
  const BlobSink& sink_;
  PartBoard::Blob& parts_;
  const void* last_giver_ = nullptr;
  int givers_ = 0;  // hosts that part of it is from, and helpers
  std::uint64_t done_ = 0;
  bool was_offered_ = false;
  bool ranges_work_ = false;
  OwnFd file_;
  std::string block_;
  std::optional<Hasher> hasher_;
  std::optional<Error> fault_;  // the sink's: not to be tried again
};

Status RegistryClient::blob(const Descriptor& descriptor, const BlobSink& sink, PartBoard::Blob& parts) {
  Incoming coming(descriptor, sink, parts);
  auto result = at_some_host(Need::kPull, [&](HostAccess& host, bool is_last) -> Status {
    for (;;) {
      if (auto came = blob_of(host, coming, is_last); !came) return came;
      const bool is_of_several = coming.is_of_several();
      auto right = coming.check();
      // Whose part was wrong is not known: all of it from this one.
      if (right || right.error().is_cancelled() || !is_of_several) return right;
    }
  });
  if (coming.fault() && (result || result.error().is_cancelled())) return std::unexpected(std::move(*coming.fault()));
  return result;
}

// What is missing of a blob: what helpers bring, and the gaps between from this host.
Status RegistryClient::blob_of(HostAccess& host, Incoming& coming, bool is_last) {
  while (coming.missing() != 0) {
    const std::uint64_t begin = coming.done();
    auto taken = coming.take_parts(http_.stop());
    received_ += coming.done() - begin;
    if (!taken) return taken;
    if (coming.missing() == 0) return {};
    if (auto connected = coming.parts().connect(http_.stop()); !connected) return connected;
    if (auto came = gap_of(host, coming, is_last); !came) return came;
  }
  return {};
}

Status RegistryClient::gap_of(HostAccess& host, Incoming& coming, bool is_last) {
  const Descriptor& descriptor = coming.descriptor();
  const std::uint64_t begin = coming.done();
  std::uint64_t end = coming.parts().gap_end(begin);  // may come nearer
  bool is_filled = false;
  std::optional<std::uint64_t> skip;  // known from the first piece on
  Pace pace;
  std::vector<std::string> headers;
  if (coming.may_ask_for_ranges() && (begin != 0 || end != descriptor.size))
    headers.push_back(cat("Range: bytes=", begin, "-", end == descriptor.size ? "" : cat(end - 1)));
  auto take = [&](const HttpHead& head, std::string_view bytes) -> Status {
    if (!skip) {
      // A server that knows no ranges sends all of it again.
      auto start = head.status == 206 ? parse_range_start(head.content_range) : 0;
      if (!start || *start > begin || (head.status == 206 && *start != begin))
        return invalid_argument(
            cat("asked for the bytes from ", begin, " on, it sends ", in_quotes(head.content_range)));
      skip = begin - *start;
      if (head.status == 206) coming.ranges_work();
    }
    const std::uint64_t passed = std::min<std::uint64_t>(*skip, bytes.size());
    *skip -= passed;
    bytes.remove_prefix(passed);
    if (bytes.size() > coming.missing())
      return invalid_argument(cat("it sends more than the ", descriptor.size, " bytes that the manifest says"));
    end = coming.parts().gap_end(coming.done());
    is_filled = end != descriptor.size && bytes.size() >= end - coming.done();
    if (is_filled) bytes = bytes.substr(0, end - coming.done());
    received_ += bytes.size();
    const auto start = Clock::now();
    if (auto taken = coming.take(host, bytes, is_last); !taken) return taken;
    pace.took(bytes.size(), Clock::now() - start);
    coming.consider_help(host, head, pace);
    return is_filled ? fail(Code::kCancelled, "others have what follows") : Status();
  };
  auto answer = get(host, blob_path(descriptor.digest), headers, take, milliseconds(0));
  const std::uint64_t done = coming.done();
  if (is_filled && !coming.fault()) return {};
  // It broke off behind the last byte: there is nothing to ask for again.
  if (!answer && answer.error().code() == Code::kUnavailable && done != 0 && done == descriptor.size) return {};
  if (!answer && !answer.error().is_cancelled() && done != 0)
    return fail_with(std::move(answer.error()), cat("after ", done, " of ", descriptor.size, " bytes"));
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (done != end) return fail(Code::kUnavailable, cat("it ended after ", done, " of ", descriptor.size, " bytes"));
  return {};
}

void RegistryClient::help(PartBoard& board, const PartBoard::Part& part) {
  const PartBoard::Offer& offer = *part.offer;
  std::uint64_t done = 0;
  bool is_useless = false;
  auto take = [&](const HttpHead& head, std::string_view bytes) -> Status {
    is_useless =
        head.status != 206 || parse_range_start(head.content_range) != part.offset || bytes.size() > part.length - done;
    if (is_useless) return invalid_argument("it sends something else than the range that it was asked for");
    if (auto written = sys::pwrite_all(offer.file, bytes, part.offset + done); !written) return written;
    done += bytes.size();
    return board.came(part, bytes.size()) ? Status() : fail(Code::kCancelled, "nobody wants it any more");
  };
  std::vector<std::string> headers{cat("Range: bytes=", part.offset, "-", part.offset + part.length - 1)};
  // A weak one is not for ranges. What has changed meanwhile comes as a whole then.
  if (offer.etag.starts_with('"')) headers.push_back(cat("If-Range: ", offer.etag));
  // The owner meets whatever is wrong when he comes there.
  (void)get(*offer.host, blob_path(offer.digest), headers, take, milliseconds(0));
  board.ended(part, is_useless);
}

}  // namespace gantry::images
