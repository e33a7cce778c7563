#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Read by Go: the invoking user before the join, and whether the join happened.
int proa_joined = 0;
int proa_outer_uid = -1;
int proa_outer_gid = -1;

static const char *const outside[] = {
	"doctor", "version", "--version", "-v", "help", "--help", "-h", "completion", "login", "logout", NULL,
};

static void die(const char *what)
{
	fprintf(stderr, "proa: joining the user namespace: %s: %s\n", what, strerror(errno));
	_exit(125);
}

// holder returns the process that holds the POSIX lock on the open file fd, 0 when there is none. The kernel's
// answer needs no trust in a pid file: the lock is gone when its holder is.
static pid_t holder(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_GETLK, &l) < 0 || l.l_type == F_UNLCK || l.l_pid <= 0)
		return 0;
	return l.l_pid;
}

static int open_ns(pid_t pid, const char *ns)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, ns);
	return open(path, O_RDONLY | O_CLOEXEC);
}

// A single-threaded process is the only one that may enter a user namespace, and Go's runtime is never one: this
// serves containers that have a user namespace of their own. "_PROA_JOIN_USERNS=<namespace fd>:<program fd>".
static void join_and_exec(const char *spec, char **argv, char **envp)
{
	int ns, prog;
	if (sscanf(spec, "%d:%d", &ns, &prog) != 2) {
		errno = EINVAL;
		die(spec);
	}
	unsetenv("_PROA_JOIN_USERNS");
	if (setns(ns, CLONE_NEWUSER) < 0)
		die("setns");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		die("becoming root in it");
	fexecve(prog, argv, environ);
	die("executing the init");
}

// As privileged in rootless.go: root in a container has the name, and may lack the rights.
static int privileged(void)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return geteuid() == 0 && syscall(SYS_capget, &hdr, data) == 0 && (data[0].effective & (1u << CAP_SYS_ADMIN));
}

__attribute__((constructor)) static void proa_join(int argc, char **argv, char **envp)
{
	const char *s = getenv("_PROA_JOIN_USERNS");
	char path[PATH_MAX], cwd[PATH_MAX];
	struct stat st;
	int fd = -1, user, mnt;
	pid_t pid = 0;

	if (s)
		join_and_exec(s, argv, envp);
	proa_outer_uid = getuid();
	proa_outer_gid = getgid();
	// proa-runtime is started by engines that have arranged its namespaces themselves.
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
	base = base ? base + 1 : argc > 0 ? argv[0] : "";
	if (privileged() || argc < 2 || !strcmp(base, "proa-runtime"))
		return;
	for (int i = 0; outside[i]; i++)
		if (!strcmp(argv[1], outside[i]))
			return;

	if ((s = getenv("_PROA_JOIN_PID"))) {
		pid = atoi(s);
		unsetenv("_PROA_JOIN_PID");
	} else {
		if ((s = getenv("XDG_RUNTIME_DIR")) && *s)
			snprintf(path, sizeof path, "%s/proa/pause.lock", s);
		else
			snprintf(path, sizeof path, "/run/user/%d/proa/pause.lock", (int)getuid());
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && !(s && *s)) {
			snprintf(path, sizeof path, "/tmp/proa-run-%d/proa/pause.lock", (int)getuid());
			fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		}
		if (fd < 0)
			return;
		if (fstat(fd, &st) < 0 || st.st_uid != getuid() || !(pid = holder(fd))) {
			close(fd);
			return;
		}
	}
	user = open_ns(pid, "user");
	mnt = open_ns(pid, "mnt");
	// The holder may have died and its pid been taken between the question and the open.
	if (user < 0 || mnt < 0 || (fd >= 0 && holder(fd) != pid)) {
		if (user >= 0)
			close(user);
		if (mnt >= 0)
			close(mnt);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (!getcwd(cwd, sizeof cwd) || cwd[0] != '/')
		strcpy(cwd, "/");
	if (setns(user, CLONE_NEWUSER) < 0)
		die("setns");
	if (setns(mnt, CLONE_NEWNS) < 0)
		die("setns of the mount namespace");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		die("becoming root in it");
	if (chdir(cwd) < 0 && chdir("/") < 0)
		die(cwd);
	close(user);
	close(mnt);
	if (fd >= 0)
		close(fd);
	proa_joined = 1;
}
