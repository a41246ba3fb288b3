/* What a hostile program tries; one attempt by name. It tells on stdout what it could do; nothing said is good. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char block[1 << 20];

static int is(const char *mode, const char *name) { return strcmp(mode, name) == 0; }

static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0) { (void)!write(file, text, strlen(text)); close(file); }
}

static void computed(const char *path) {
    char text[512];
    snprintf(text, sizeof text, "{\"deterministic-output-path\": \"%s\"}", path);
    put("/iexec_out/computed.json", text);
}

static void could(int so, const char *what) { if (so) { printf("%s ", what); fflush(stdout); } }

static void fill(const char *path) {  /* how many MB a folder takes */
    int mb = 0, file = open(path, O_WRONLY | O_CREAT, 0644);
    while (file >= 0 && mb < 64 && write(file, block, sizeof block) == sizeof block) mb++;
    printf("%d ", mb);
    unlink(path);
    if (file >= 0) close(file);
}

static int reaches(const char *address, int port, int kind) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int s = socket(AF_INET, kind, 0);
    inet_pton(AF_INET, address, &to.sin_addr);
    return s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0 && send(s, "x", 1, MSG_NOSIGNAL) == 1;
}

static int reaches_abstract(const char *name) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(to.sun_path + 1, name);
    return connect(s, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)) == 0;
}

static int writes(const char *path) {
    int file = open(path, O_WRONLY);
    return file >= 0 && write(file, "1", 1) == 1;
}

static void kernel(void) {
    const char *files[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger",
        "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/cgroup.procs", "/dev/mem", "/dev/kmsg",
        "/dev/sda", "/dev/vda", "/dev/kvm", "/proc/1/mem"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) could(writes(files[i]), files[i]);
    const char *sockets[] = {"/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket"};
    for (unsigned i = 0; i < sizeof sockets / sizeof *sockets; i++) could(access(sockets[i], F_OK) == 0, sockets[i]);
    could(setuid(0) == 0, "setuid");
    could(setgid(0) == 0, "setgid");
    could(unshare(CLONE_NEWUSER) == 0, "unshare-user");
    could(unshare(CLONE_NEWNS) == 0, "unshare-mounts");
    could(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) > 0, "clone-user");
    could(mount("none", "/tmp", "tmpfs", 0, "") == 0, "mount");
    could(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0, "remount");
    could(umount2("/iexec_in", MNT_DETACH) == 0, "umount");
    could(chroot("/iexec_out") == 0, "chroot");
    could(mknod("/iexec_out/disk", S_IFBLK | 0666, 0x0801) == 0, "mknod");
    could(ptrace(PTRACE_ATTACH, 1, 0, 0) == 0, "ptrace");
    could(syscall(SYS_bpf, 0, block, 128) >= 0, "bpf");
    could(syscall(SYS_add_key, "user", "pew", "x", 1, -4) >= 0, "keyring");
    could(syscall(SYS_kexec_load, 0, 0, 0, 0) == 0, "kexec");
    could(socket(40, SOCK_STREAM, 0) >= 0, "vsock");
    could(socket(AF_INET, SOCK_RAW, 1) >= 0, "raw-socket");
    could(sethostname("mine", 4) == 0, "hostname");
    could(setpriority(PRIO_PROCESS, 0, -10) == 0, "priority");
    struct rlimit more = {1000000, 1000000};
    could(setrlimit(RLIMIT_NOFILE, &more) == 0, "open-files");
    could(kill(1, 0) == 0 && getpid() != 1 && kill(1, SIGKILL) == 0 && (usleep(300000), 0), "kill-init");
}

int main(int argc, char **argv) {
    const char *mode = argv[1];
    if (is(mode, "forkbomb")) for (;;) fork();
    if (is(mode, "kernel")) { kernel(); return 0; }
    if (is(mode, "network")) {
        could(reaches("127.0.0.1", atoi(argv[2]), SOCK_STREAM), "loopback");
        could(reaches("169.254.169.254", 80, SOCK_STREAM), "metadata");
        could(reaches("172.17.0.1", atoi(argv[2]), SOCK_STREAM), "bridge");
        could(reaches("8.8.8.8", 53, SOCK_DGRAM), "dns");
        could(reaches_abstract(argv[3]), "abstract-socket");
        return 0;
    }
    if (is(mode, "fill")) { fill("/tmp/x"); fill("/dev/shm/x"); fill("/dev/x"); fill("/x"); fill("/data/x"); return 0; }
    if (is(mode, "deep")) {  /* a folder in a folder in a folder */
        (void)!chdir("/iexec_out");
        for (int n = 0; n < 100000; n++) if (mkdir("d", 0755) || chdir("d")) break;
        sleep(60);
    }
    if (is(mode, "hidden")) {  /* deleted, but still open */
        for (;;) {
            int file = open("/iexec_out/x", O_RDWR | O_CREAT, 0644);
            unlink("/iexec_out/x");
            for (int i = 0; i < 8; i++) if (write(file, block, sizeof block) < 0) sleep(60);
        }
    }
    if (is(mode, "sparse")) {
        int file = open("/iexec_out/result.txt", O_WRONLY | O_CREAT, 0644);
        signal(SIGXFSZ, SIG_IGN);
        could(ftruncate(file, 1L << 40) == 0, "terabyte");
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "zeros")) {
        int file = open("/iexec_out/result.txt", O_WRONLY | O_CREAT, 0644);
        for (int i = 0; i < 14; i++) (void)!write(file, block, sizeof block);
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "spam")) {
        memset(block, 'x', sizeof block);
        for (;;) (void)!write(1, block, sizeof block);
    }
    if (is(mode, "symlink")) {
        (void)!symlink(argv[2], "/iexec_out/result.txt");
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "hardlink")) {
        put("/iexec_out/first", "x");
        could(link("/iexec_in/data", "/iexec_out/input") == 0, "link-input");
        could(link("/hostile", "/iexec_out/program") == 0, "link-root");
        (void)!link("/iexec_out/first", "/iexec_out/result.txt");
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "names")) {
        const char *names[] = {"a\nb", "..\\evil", "\xff\xfe", " ", "-rf", "\xe2\x80\xae" "txt", "C:x", "..."};
        char path[600], name[256];
        mkdir("/iexec_out/r", 0755);
        for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
            snprintf(path, sizeof path, "/iexec_out/r/%s", names[i]);
            put(path, "x");
        }
        memset(name, 'n', 255);
        name[255] = 0;
        snprintf(path, sizeof path, "/iexec_out/r/%s", name);
        put(path, "x");
        mkfifo("/iexec_out/r/pipe", 0644);
        int s = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/iexec_out/r/socket"};
        bind(s, (struct sockaddr *)&at, sizeof at);
        computed("/iexec_out/r");
        return 0;
    }
    if (is(mode, "stubborn")) {
        for (int n = 1; n < 32; n++) signal(n, SIG_IGN);
        if (fork() == 0) setsid();
        for (;;) pause();
    }
    if (is(mode, "daemon")) {
        if (fork() == 0) {
            setsid();
            if (fork()) _exit(0);
            for (;;) { put("/iexec_out/result.txt", "changed"); (void)!write(1, ".", 1); }
        }
        put("/iexec_out/result.txt", "hello");
        computed("/iexec_out/result.txt");
        usleep(300000);
        return 0;
    }
    if (is(mode, "family")) {  /* each a little, together too much */
        for (int n = 0; n < 8; n++) if (fork() == 0) {
            char *mine = malloc(30 << 20);
            if (mine) memset(mine, 1, 30 << 20);
            for (;;) pause();
        }
        int status;
        while (wait(&status) > 0 && !WIFSIGNALED(status));  /* a control group ends one, the watch all */
        return 1;
    }
    if (is(mode, "shared")) {
        for (int n = 0; n < 300; n++) {
            char *more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            if (more == MAP_FAILED) return 9;
            memset(more, 1, 1 << 20);
        }
        sleep(60);
    }
    return 64;
}
