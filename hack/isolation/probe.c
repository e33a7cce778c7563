// probe prints what isolates it, one "key: value" a line, as the kernel says. It is linked statically, run as the
// command of a container by hack/isolation.sh, and changes nothing that outlives it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(int e) { return e ? strerrorname_np(e) : "ok"; }

static void status(void)
{
	static const char *const want[] = {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"};
	char line[512];
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		for (size_t i = 0; i < sizeof want / sizeof *want; i++)
			if (!strncmp(line, want[i], strlen(want[i])) && line[strlen(want[i])] == ':')
				printf("status %s", line);
}

static void first_lines(const char *key, const char *path)
{
	char line[512];
	FILE *f = fopen(path, "r");
	if (!f) {
		printf("%s: %s\n", key, name(errno));
		return;
	}
	while (fgets(line, sizeof line, f))
		printf("%s: %s", key, line);
	if (!strchr(line, '\n'))
		puts("");
	fclose(f);
}

static void namespaces(void)
{
	static const char *const kinds[] = {"user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		char path[64], link[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
		if (readlink(path, link, sizeof link - 1) < 0)
			strcpy(link, name(errno));
		printf("namespace %s: %s\n", kinds[i], link);
	}
}

static const char *state(const char *path)
{
	struct stat st;
	struct statvfs v;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? "absent" : name(errno);
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return "masked";
	if (statvfs(path, &v) == 0 && v.f_flag & ST_RDONLY) {
		int n = 0;
		DIR *d = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
		if (d)
			while (readdir(d))
				n++;
		return d && n == 2 ? "masked" : "read-only";
	}
	return "open";
}

static void paths(void)
{
	static const char *const list[] = {
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/interrupts", "/proc/kallsyms", "/proc/kmsg", "/proc/config.gz", "/proc/sysrq-trigger", "/proc/bus",
		"/proc/fs", "/proc/irq", "/proc/sys", "/sys", "/sys/firmware", "/sys/kernel", "/sys/kernel/security", "/sys/fs/selinux", "/sys/dev/block",
		"/sys/devices/virtual/powercap", "/sys/fs/cgroup", "/sys/module",
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		printf("path %s: %s\n", list[i], state(list[i]));
	DIR *d = opendir("/dev");
	printf("devices:");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			printf(" %s", e->d_name);
	puts("");
	d = opendir("/sys/class/net");
	printf("interfaces:");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			printf(" %s", e->d_name);
	puts("");
}

static void mounts(void)
{
	char line[4096], *f[16];
	FILE *m = fopen("/proc/self/mounts", "r");
	while (m && fgets(line, sizeof line, m)) {
		int n = 0;
		for (char *p = strtok(line, " \n"); p && n < 16; p = strtok(NULL, " \n"))
			f[n++] = p;
		if (n < 4 || !strcmp(f[2], "overlay"))
			printf("mount %s: %s\n", n > 1 ? f[1] : "?", "overlay");
		else
			printf("mount %s: %s %s\n", f[1], f[2], f[3]);
	}
}

// in_child runs fn in a process of its own and returns its errno; one that does not return is "blocked".
static const char *in_child(int (*fn)(void))
{
	static char buf[32];
	fflush(stdout);
	pid_t p = fork();
	if (p == 0) {
		alarm(2);
		errno = 0;
		_exit(fn() < 0 ? errno : 0);
	}
	int ws;
	waitpid(p, &ws, 0);
	if (WIFSIGNALED(ws)) {
		snprintf(buf, sizeof buf, "signal %d", WTERMSIG(ws));
		return buf;
	}
	return name(WEXITSTATUS(ws));
}

static int t_unshare_user(void) { return unshare(CLONE_NEWUSER); }
static int t_unshare_mnt(void) { return unshare(CLONE_NEWNS); }
static int t_unshare_net(void) { return unshare(CLONE_NEWNET); }
static int t_unshare_user_mnt(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNS); }
static int t_nested_mount(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -1;
	return mount("none", "/proc/self/cwd", "tmpfs", 0, NULL);
}
static int t_clone3(uint64_t flags)
{
	struct clone_args a = {.flags = flags, .exit_signal = SIGCHLD};
	long r = syscall(SYS_clone3, &a, sizeof a);
	if (r == 0)
		_exit(0);
	return r < 0 ? -1 : 0;
}
static int t_clone3_plain(void) { return t_clone3(0); }
static int t_clone3_user(void) { return t_clone3(CLONE_NEWUSER); }
static int t_mount(void) { return mount("none", "/", "tmpfs", 0, NULL); }
static int t_umount(void) { return umount2("/dev/shm", MNT_DETACH); }
static int t_fsopen(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static int t_open_tree(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* CLONE */); }
static int t_pivot(void) { return syscall(SYS_pivot_root, ".", "."); }
static int t_setns(void)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY);
	return setns(fd, CLONE_NEWUTS);
}
static int t_chroot(void) { return chroot("/"); }
static int t_mknod(void) { return mknod("/dev/shm/node", S_IFCHR | 0600, makedev(1, 3)); }
static int t_keyctl(void) { return syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3 /* session */, 0); }
static int t_add_key(void) { return syscall(SYS_add_key, "user", "probe", "x", 1, -1 /* thread */); }
static int t_request_key(void)
{
	long r = syscall(SYS_request_key, "user", "no-such-key", NULL, 0);
	return r < 0 && errno == ENOKEY ? 0 : r;
}
static int t_bpf(void)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	return syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a);
}
static int t_perf(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof a, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1, .exclude_hv = 1};
	return syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}
static int t_userfaultfd(void) { return syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* USER_MODE_ONLY */); }
static int t_io_uring(void)
{
	char params[256] = {0};
	return syscall(SYS_io_uring_setup, 1, params);
}
static int t_ptrace(void) { return syscall(SYS_ptrace, 0 /* TRACEME */, 0, 0, 0); }
static int t_vm_readv(void) { return syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0); }
static int t_kcmp(void) { return syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 1) < 0 ? -1 : 0; }
static int t_personality(void) { return syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */); }
static int t_handle(void)
{
	char h[64] = {8, 0, 0, 0, 1, 0, 0, 0};
	return syscall(SYS_open_by_handle_at, AT_FDCWD, h, O_RDONLY);
}
static int t_settime(void) { return syscall(SYS_clock_settime, 0, NULL); } // EFAULT: it would have been let
static int t_hostname(void) { return sethostname("probe", 5); }
static int t_syslog(void) { return syscall(SYS_syslog, 10 /* SIZE_BUFFER */, NULL, 0); }
static int t_quotactl(void) { return syscall(SYS_quotactl, 0x800001 << 8, "/dev/null", 0, NULL); }
static int t_swapoff(void) { return syscall(SYS_swapoff, "/none"); }
static int t_reboot(void) { return syscall(SYS_reboot, 0, 0, 0, NULL); }
static int t_init_module(void) { return syscall(SYS_init_module, NULL, 0, ""); }
static int t_kexec(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 1 << 30); }
static int t_mempolicy(void) { return syscall(SYS_set_mempolicy, 0, NULL, 0); }
static int t_nice(void) { return syscall(SYS_setpriority, 0, 0, -5); }
static int t_sock(int a, int b, int c) { return socket(a, b, c); }
static int t_alg(void) { return t_sock(AF_ALG, SOCK_SEQPACKET, 0); }
static int t_vsock(void) { return t_sock(AF_VSOCK, SOCK_STREAM, 0); }
static int t_packet(void) { return t_sock(AF_PACKET, SOCK_RAW, 0); }
static int t_raw(void) { return t_sock(AF_INET, SOCK_RAW, 1); }
static int t_netlink(void) { return t_sock(AF_NETLINK, SOCK_RAW, 0); }
static int t_audit(void) { return t_sock(AF_NETLINK, SOCK_RAW, 9); }
static int t_sysctl(void) { return open("/proc/sys/kernel/domainname", O_WRONLY); }
static int t_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	return fd < 0 ? -1 : (int)write(fd, "-1", 2) < 0 ? -1 : 0;
}

#define T(f) {#f, f}
static const struct { const char *what; int (*fn)(void); } calls[] = {
	T(t_unshare_user), T(t_unshare_user_mnt), T(t_nested_mount), T(t_unshare_mnt), T(t_unshare_net), T(t_clone3_plain), T(t_clone3_user), T(t_mount),
	T(t_umount), T(t_fsopen), T(t_open_tree), T(t_pivot), T(t_setns), T(t_chroot), T(t_mknod), T(t_keyctl), T(t_add_key), T(t_request_key), T(t_bpf),
	T(t_perf), T(t_userfaultfd), T(t_io_uring), T(t_ptrace), T(t_vm_readv), T(t_kcmp), T(t_personality), T(t_handle), T(t_settime), T(t_hostname),
	T(t_syslog), T(t_quotactl), T(t_swapoff), T(t_reboot), T(t_init_module), T(t_kexec), T(t_mempolicy), T(t_nice), T(t_alg), T(t_vsock), T(t_packet), T(t_raw), T(t_netlink),
	T(t_audit), T(t_sysctl), T(t_oom),
};

static long number;
static int any(void) { return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L); }

// every_call makes each system call of x86-64 with arguments that none takes: what the filter refuses shows by its errno.
static void every_call(void)
{
	for (number = 0; number < 470; number++)
		switch (number) {
		case 15: case 34: case 56: case 57: case 58: case 60: case 61: case 62: case 109: case 112: case 153: case 162: case 200: case 231: case 234:
			continue; // returns elsewhere, blocks, forks, ends or signals
		default:
			printf("call %ld: %s\n", number, in_child(any));
		}
}

int main(int argc, char **argv)
{
	if (getpid() != 1) { // it unmounts things and sets the host name
		fputs("probe: only as process 1 of a container\n", stderr);
		return 1;
	}
	status();
	first_lines("uid_map", "/proc/self/uid_map");
	first_lines("gid_map", "/proc/self/gid_map");
	namespaces();
	first_lines("label", "/proc/self/attr/current");
	first_lines("oom_score_adj", "/proc/self/oom_score_adj");
	first_lines("limit", "/proc/self/limits");
	first_lines("cgroup", "/proc/self/cgroup");
	first_lines("ping_group_range", "/proc/sys/net/ipv4/ping_group_range");
	first_lines("unprivileged_port_start", "/proc/sys/net/ipv4/ip_unprivileged_port_start");
	first_lines("pids.max", "/sys/fs/cgroup/pids.max");
	long key = syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3 /* session */, 0);
	printf("session keyring: %lx %s\n", key < 0 ? 0 : key, name(key < 0 ? errno : 0));
	paths();
	mounts();
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		printf("try %s: %s\n", calls[i].what + 2, in_child(calls[i].fn));
	if (argc > 1 && !strcmp(argv[1], "every-call"))
		every_call();
	return 0;
}
