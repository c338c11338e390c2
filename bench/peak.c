// SPDX-License-Identifier: Apache-2.0
// peak FILE PROGRAM [ARGS...]: runs the program and writes into the file the most KiB that it, or a process that it has
// waited for, had in memory. Static and tiny, because the kernel counts what this process has until execve, too.
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  pid_t pid = fork();
  if (pid == 0) {
    execv(argv[2], argv + 2);
    _exit(127);
  }
  int status = 0;
  struct rusage usage;
  if (wait4(pid, &status, 0, &usage) < 0 || status != 0) return 1;
  FILE* file = fopen(argv[1], "w");
  if (file == NULL) return 1;
  fprintf(file, "%ld\n", usage.ru_maxrss);
  return fclose(file) == 0 ? 0 : 1;
}
