// SPDX-License-Identifier: Apache-2.0
// A careless container runtime, on which the attacks of tests/security are shown to succeed. It does what the runtimes
// of the advisories did: it asks the kernel by path, trusts what lies in the container's root, keeps its descriptors
// open and its own file within reach, reads numbers with atoi, counts lengths in 16 bits, and leaves capabilities
// inheritable.
//
//   naive run PLAN          a container, to its end
//   naive exec PID PLAN     a process in it
//
// PLAN is a file of records: a letter, a length in two bytes (low first), that many bytes, in which NUL parts fields.
// It is written by tests/support/attacks.py. Run it only in a mount namespace that may be lost.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

using Fields = std::vector<std::string>;

[[noreturn]] void die(const std::string& what) {
  std::perror(("naive: " + what).c_str());
  std::_Exit(1);
}

struct Plan {
  std::map<char, std::vector<Fields>> records;

  explicit Plan(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    for (std::size_t at = 0; at + 3 <= bytes.size();) {
      auto low = static_cast<unsigned char>(bytes[at + 1]), high = static_cast<unsigned char>(bytes[at + 2]);
      std::size_t size = low | high << 8;
      records[bytes[at]].push_back(split(bytes.substr(at + 3, size)));
      at += 3 + size;
    }
  }
  static Fields split(const std::string& text) {
    Fields fields(1);
    for (char byte : text) {
      if (byte == '\0') {
        fields.emplace_back();
      } else {
        fields.back() += byte;
      }
    }
    return fields;
  }
  const std::vector<Fields>& all(char kind) { return records[kind]; }
  // The last one: who says something twice means the second.
  std::string one(char kind) { return records[kind].empty() ? "" : records[kind].back()[0]; }
  std::vector<char*> strings(char kind) {
    std::vector<char*> out;
    for (Fields& each : records[kind]) out.push_back(each[0].data());
    out.push_back(nullptr);
    return out;
  }
};

void write_file(const std::string& path, const std::string& text) {
  int fd = ::open(path.c_str(), O_WRONLY);
  if (fd < 0 || ::write(fd, text.data(), text.size()) < 0) std::perror(path.c_str());
  if (fd >= 0) ::close(fd);
}

// mkdir -p, and a file at its end.
void make_target(const std::string& path, bool is_file) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    ::mkdir(path.substr(0, slash).c_str(), 0755);
  if (is_file) {
    ::close(::open(path.c_str(), O_CREAT | O_WRONLY, 0644));
  } else {
    ::mkdir(path.c_str(), 0755);
  }
}

// "Checked" (a record C): a path that leads out of the root at the moment of the check is refused. Then it is used.
void check_target(const std::string& root, const std::string& path) {
  std::string part = path;
  char real[PATH_MAX];
  while (::realpath(part.c_str(), real) == nullptr && part.rfind('/') != 0) part.resize(part.rfind('/'));
  if (std::string(real) != root && !std::string(real).starts_with(root + "/")) {
    std::fprintf(stderr, "naive: %s leads to %s, out of the root\n", path.c_str(), real);
    std::_Exit(1);
  }
}

void make_mount(Plan& plan, const std::string& root, const Fields& fields) {
  const std::string &type = fields[0], &source = fields[1], path = root + fields[2], &options = fields[3];
  unsigned long flags = std::strtoul(fields[4].c_str(), nullptr, 0);
  struct stat info{};
  bool is_file = (flags & MS_BIND) != 0 && ::stat(source.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
  if (plan.records.contains('C')) check_target(root, path);
  make_target(path, is_file);
  if (::mount(source.c_str(), path.c_str(), type.c_str(), flags, options.c_str()) < 0) die("mount " + path);
  if ((flags & MS_BIND) != 0 && (flags & MS_RDONLY) != 0)
    ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | flags, nullptr);
}

void make_devices(const std::string& root) {
  for (auto [name, minor] : {std::pair("null", 3), std::pair("zero", 5), std::pair("full", 7)}) {
    std::string path = root + "/dev/" + name;
    // Whoever has it already has it right.
    if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, static_cast<unsigned>(minor))) == 0)
      ::chmod(path.c_str(), 0666);
  }
  if (::symlink("pts/ptmx", (root + "/dev/ptmx").c_str()) < 0) return;
}

// All by path, in the container's root.
// All by path, in the container's root.
void open_terminal() {
  int master = ::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  int number = 0, unlock = 0;
  if (master < 0 || ::ioctl(master, TIOCGPTN, &number) < 0 || ::ioctl(master, TIOCSPTLCK, &unlock) < 0) die("ptmx");
  std::string slave = "/dev/pts/" + std::to_string(number);
  make_target("/dev/console", true);
  if (::mount(slave.c_str(), "/dev/console", nullptr, MS_BIND, nullptr) < 0) die("/dev/console");
}

void hide(Plan& plan) {
  for (const Fields& each : plan.all('M')) {
    struct stat info{};
    if (::stat(each[0].c_str(), &info) < 0) continue;
    if (S_ISDIR(info.st_mode)) {
      ::mount("tmpfs", each[0].c_str(), "tmpfs", MS_RDONLY, nullptr);
    } else if (::mount("/dev/null", each[0].c_str(), nullptr, MS_BIND, nullptr) < 0) {
      std::perror(each[0].c_str());
    }
  }
  for (const Fields& each : plan.all('R')) {
    if (::mount(each[0].c_str(), each[0].c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0) continue;
    ::mount(nullptr, each[0].c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_REC, nullptr);
  }
}

// Names come first, also those that are made of digits; and what is no name is a number.
unsigned id_of(const std::string& user) {
  std::ifstream passwd("/etc/passwd");
  for (std::string line; std::getline(passwd, line);) {
    if (!user.empty() && line.starts_with(user + ":x:"))
      return static_cast<unsigned>(std::atol(line.c_str() + user.size() + 3));
  }
  return static_cast<unsigned>(std::atol(user.c_str()));
}

// So that programs find a name and a home for whoever the image does not know.
void add_to_passwd(unsigned id, const char* home) {
  std::ifstream passwd("/etc/passwd");
  for (std::string line; std::getline(passwd, line);) {
    if (line.find(":x:" + std::to_string(id) + ":") != std::string::npos) return;
  }
  std::ofstream("/etc/passwd", std::ios::app) << "user:x:" << id << ':' << id << "::" << home << ":/bin/sh\n";
}

void set_capabilities(Plan& plan) {
  auto keep = std::strtoull(plan.one('c').c_str(), nullptr, 16);
  for (int number = 0; number < 41; ++number) {
    if ((keep >> number & 1U) == 0) ::prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  }
  ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  ::setgroups(0, nullptr);
  unsigned id = id_of(plan.one('u'));
  for (const Fields& each : plan.all('e')) {
    if (each[0].starts_with("HOME=")) add_to_passwd(id, each[0].c_str() + 5);
  }
  if (::setgid(id) < 0 || ::setuid(id) < 0) die("setuid");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (unsigned half = 0; half < 2; ++half) {
    auto bits = static_cast<unsigned>(keep >> (half * 32));
    data[half] = {bits, bits, bits};
  }
  ::syscall(SYS_capset, &header, data);
}

[[noreturn]] void become(Plan& plan) {
  if (std::string cwd = plan.one('d'); !cwd.empty() && ::chdir(cwd.c_str()) < 0) die("chdir " + cwd);
  set_capabilities(plan);
  auto args = plan.strings('a'), env = plan.strings('e');
  environ = env.data();
  ::execvpe(args[0], args.data(), env.data());
  die(args[0]);
}

[[noreturn]] void container(Plan& plan) {
  std::string root = plan.one('r');
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  ::mount(root.c_str(), root.c_str(), nullptr, MS_BIND | MS_REC, nullptr);
  for (const Fields& each : plan.all('m')) make_mount(plan, root, each);
  make_devices(root);
  if (::chdir(root.c_str()) < 0 || ::syscall(SYS_pivot_root, ".", ".") < 0 || ::umount2(".", MNT_DETACH) < 0 ||
      ::chdir("/") < 0)
    die("pivot_root");
  if (plan.records.contains('t')) open_terminal();
  for (const Fields& each : plan.all('s')) write_file("/proc/sys/" + each[0], each[1]);
  if (plan.records.contains('o')) write_file("/proc/self/oom_score_adj", plan.one('o'));
  hide(plan);
  become(plan);
}

void run_hooks(Plan& plan) {
  for (const Fields& each : plan.all('H')) {
    pid_t pid = ::fork();
    if (pid == 0) {
      auto env = plan.strings('e');
      char* args[] = {const_cast<char*>(each[0].c_str()), nullptr};
      if (::chdir(plan.one('r').c_str()) < 0) std::_Exit(1);
      ::execve(args[0], args, env.data());
      std::_Exit(1);
    }
    ::waitpid(pid, nullptr, 0);
  }
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run(Plan& plan) {
  run_hooks(plan);
  auto flags = std::strtoul(plan.one('n').c_str(), nullptr, 0);
  auto pid = static_cast<pid_t>(::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) container(plan);
  if (pid < 0) die("clone");
  if (std::string file = plan.one('p'); !file.empty()) std::ofstream(file) << pid;
  return plan.records.contains('D') ? 0 : wait_for(pid);
}

int exec(const std::string& target, Plan& plan) {
  std::vector<int> spaces;
  for (const char* kind : {"cgroup", "ipc", "uts", "net", "pid", "mnt"})
    spaces.push_back(::open(("/proc/" + target + "/ns/" + kind).c_str(), O_RDONLY));
  for (int space : spaces) {
    if (::setns(space, 0) < 0) die("setns");
  }
  pid_t pid = ::fork();
  if (pid == 0) become(plan);
  return wait_for(pid);
}

// A record P: the program runs from a read-only mount of its file that nobody has a path to, which is no seal.
void run_from_read_only_mount(char** argv) {
  if (::getenv("NAIVE_PROTECTED") != nullptr) return;
  int program = ::open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (program < 0 || ::mount_setattr(program, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) die("open_tree");
  ::setenv("NAIVE_PROTECTED", "1", 1);
  ::syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
  die("execveat");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  Plan plan(argv[argc - 1]);
  if (plan.records.contains('P')) run_from_read_only_mount(argv);
  // Whoever started it knows by this one's end that the container's program runs.
  if (const char* ready = ::getenv("NAIVE_READY")) ::fcntl(std::atoi(ready), F_SETFD, FD_CLOEXEC);
  // For later use, and still there when the container's program runs.
  for (const Fields& each : plan.all('L')) (void)::open(each[0].c_str(), O_RDONLY | O_DIRECTORY);
  return std::string(argv[1]) == "run" ? run(plan) : exec(argv[2], plan);
}
