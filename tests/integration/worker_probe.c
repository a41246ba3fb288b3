/* What a stranger's program may try, one trick by name; static, for images without anything else in them. */
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0) { (void)!write(file, text, strlen(text)); close(file); }
}

static void computed(const char *path) {
    char text[512];
    snprintf(text, sizeof text, "{\"deterministic-output-path\": \"%s\"}", path);
    put("/iexec_out/computed.json", text);
}

static int is(const char *mode, const char *name) { return strcmp(mode, name) == 0; }

static void list(FILE *out, const char *folder) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) if (entry->d_name[0] != '.') fprintf(out, "%s ", entry->d_name);
    fprintf(out, "\n");
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "ok";
    if (is(mode, "ok")) {
        put("/iexec_out/result.txt", "hello");
        computed("/iexec_out/result.txt");
        printf("done\n");
        return 0;
    }
    if (is(mode, "callback")) {
        put("/iexec_out/computed.json", "{\"callback-data\": \"0x2a\"}");
        return 0;
    }
    if (is(mode, "exit")) { fprintf(stderr, "no good\n"); return atoi(argv[2]); }
    if (is(mode, "sleep")) {
        put("/iexec_out/result.txt", "hello");
        computed("/iexec_out/result.txt");
        sleep(atoi(argv[2]));
        return 0;
    }
    if (is(mode, "talk")) {  /* so many lines, one each tenth of a second */
        for (int n = 0; n < atoi(argv[2]); n++) {
            printf("line %d\n", n);
            fflush(stdout);
            fprintf(stderr, "note %d\n", n);
            usleep(100000);
        }
        put("/iexec_out/result.txt", "hello");
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "callback")) {
        put("/iexec_out/computed.json", "{\"callback-data\": \"0x2a\"}");
        return 0;
    }
    if (is(mode, "copy")) {  /* the first input file */
        char path[512], block[4096];
        snprintf(path, sizeof path, "/iexec_in/%s", getenv("IEXEC_INPUT_FILE_NAME_1"));
        int in = open(path, O_RDONLY), out = open("/iexec_out/result.txt", O_WRONLY | O_CREAT, 0644);
        for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) (void)!write(out, block, n);
        computed("/iexec_out/result.txt");
        return in < 0;
    }
    if (is(mode, "checkpoint")) {  /* one step a run, kept; as many steps as asked for */
        char path[512], text[16] = "";
        snprintf(path, sizeof path, "%s/steps", getenv("IEXEC_CHECKPOINT"));
        int file = open(path, O_RDONLY);
        if (file >= 0) { (void)!read(file, text, sizeof text - 1); close(file); }
        int done = atoi(text) + 1;
        snprintf(text, sizeof text, "%d", done);
        put(path, text);
        if (done < atoi(argv[2])) sleep(60);
        put("/iexec_out/result.txt", text);
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "nothing")) return 0;
    if (is(mode, "points")) { computed(argv[2]); return 0; }
    if (is(mode, "link")) {
        (void)!symlink("/etc/shadow", "/iexec_out/result.txt");
        (void)!symlink("/etc", "/iexec_out/folder");
        mkfifo("/iexec_out/pipe", 0644);
        computed(argc > 2 ? argv[2] : "/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "forks")) {
        int made = 0;
        for (;; made++) {
            pid_t child = fork();
            if (child == 0) { pause(); _exit(0); }
            if (child < 0) break;
        }
        printf("%d\n", made);
        return 0;
    }
    if (is(mode, "disk")) {
        static char block[1 << 20];
        for (int n = 0; n < 100; n++) {  /* should nobody stop it, 400 MB are enough */
            char name[64];
            snprintf(name, sizeof name, "%s/%d", argc > 2 ? argv[2] : "/iexec_out", n);
            int file = open(name, O_WRONLY | O_CREAT, 0644);
            if (file < 0) break;
            for (int i = 0; i < 4; i++) (void)!write(file, block, sizeof block);
            close(file);
        }
        sleep(60);
        return 0;
    }
    if (is(mode, "files")) {
        for (int n = 0; n < 20000; n++) {
            char name[64];
            snprintf(name, sizeof name, "/iexec_out/%d", n);
            put(name, "");
        }
        sleep(60);
        return 0;
    }
    if (is(mode, "log")) {
        for (int n = 0; n < 400000; n++) printf("%d %0100d\n", n, 0);
        fprintf(stderr, "the end\n");
        return 0;
    }
    if (is(mode, "memory")) {
        for (;;) { char *more = malloc(1 << 20); if (!more) return 9; memset(more, 1, 1 << 20); }
    }
    if (is(mode, "environment")) {
        FILE *out = fopen("/iexec_out/result.txt", "w");
        for (char **e = environ; *e; e++) fprintf(out, "%s\n", *e);
        for (int i = 1; i < argc; i++) fprintf(out, "argument %s\n", argv[i]);
        fprintf(out, "inputs ");
        list(out, "/iexec_in");
        fprintf(out, "interfaces ");
        for (struct if_nameindex *i = if_nameindex(); i && i->if_index; i++) fprintf(out, "%s ", i->if_name);
        fprintf(out, "\n");
        fprintf(out, "user %d %d\n", getuid(), getgid());
        fclose(out);
        computed("/iexec_out/result.txt");
        return 0;
    }
    if (is(mode, "escape")) {
        FILE *out = fopen("/iexec_out/result.txt", "w");
        if (open("/new", O_WRONLY | O_CREAT, 0644) >= 0) fprintf(out, "root-writable ");
        if (open("/iexec_in/new", O_WRONLY | O_CREAT, 0644) >= 0) fprintf(out, "input-writable ");
        if (mount("none", "/tmp", "tmpfs", 0, "") == 0) fprintf(out, "mount ");
        if (unshare(CLONE_NEWUSER) == 0) fprintf(out, "unshare ");
        if (setuid(0) == 0) fprintf(out, "setuid ");
        if (chroot("/iexec_out") == 0) fprintf(out, "chroot ");
        if (mknod("/iexec_out/disk", S_IFBLK | 0666, 0x0801) == 0) fprintf(out, "mknod ");
        if (open("/var/run/docker.sock", O_RDWR) >= 0) fprintf(out, "docker ");
        put("/tmp/script", "#!/probe ok\n");
        chmod("/tmp/script", 0755);
        if (fork() == 0) { execl("/tmp/script", "script", (char *)0); _exit(1); }
        int status = 0;
        wait(&status);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) fprintf(out, "exec-from-tmp ");
        int file = open("/data/volume", O_WRONLY | O_CREAT, 0644);
        if (file >= 0) {
            static char block[1 << 20];
            int mb = 0;
            while (mb < 64 && write(file, block, sizeof block) > 0) mb++;
            if (mb >= 64) fprintf(out, "volume-unbounded ");
        }
        fclose(out);
        computed("/iexec_out/result.txt");
        return 0;
    }
    return 64;
}
