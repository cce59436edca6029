/* Small files, as many programs make them: FILES files of BYTES bytes below DIR. Prints operations per second of each STEP, in the
 * order given: create sync stat restat read reread list rename remove. sync is create with an fsync of each file; restat and reread are
 * stat and read once more, when everything is hot; list is what ls -l does, its rate that of files.
 *
 * usage: bench_files DIR FILES BYTES STEP ... */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES_IN_FOLDER = 1000, BYTES_MAX = 1 << 20, PATH_BYTES = 4096 };

typedef struct work {
    const char *dir;
    size_t      files, bytes;
    char       *block;
} work;

static _Noreturn void die(const char *path)
{
    fprintf(stderr, "bench_files: %s: %s\n", path, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void folder_path(const work *w, size_t folder, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/d%zu", w->dir, folder);
}

static void file_path(const work *w, size_t i, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/d%zu/f%zu", w->dir, i / FILES_IN_FOLDER, i);
}

static void make(const work *w, size_t i, bool sync)
{
    char path[PATH_BYTES];
    if (i % FILES_IN_FOLDER == 0) {
        folder_path(w, i / FILES_IN_FOLDER, path);
        if (mkdir(path, 0755) != 0) die(path);
    }
    file_path(w, i, path);
    int f = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (f < 0 || write(f, w->block, w->bytes) != (ssize_t)w->bytes || (sync && fsync(f) != 0) || close(f) != 0)
        die(path);
}
static void create(const work *w, size_t i) { make(w, i, false); }
static void create_synced(const work *w, size_t i) { make(w, i, true); }

static void look(const work *w, size_t i)
{
    char        path[PATH_BYTES];
    struct stat s;
    file_path(w, i, path);
    if (stat(path, &s) != 0) die(path);
    if ((size_t)s.st_size != w->bytes) {
        errno = EIO;
        die(path);
    }
}

static void read_whole(const work *w, size_t i)
{
    char path[PATH_BYTES];
    file_path(w, i, path);
    int f = open(path, O_RDONLY);
    if (f < 0 || read(f, w->block, w->bytes) != (ssize_t)w->bytes || close(f) != 0) die(path);
}

/* The whole folder when its first file's turn comes. */
static void list(const work *w, size_t i)
{
    char path[PATH_BYTES];
    if (i % FILES_IN_FOLDER != 0) return;
    folder_path(w, i / FILES_IN_FOLDER, path);
    DIR *d = opendir(path);
    if (!d) die(path);
    size_t found = 0;
    for (struct dirent *x; (x = readdir(d)); found++) {
        struct stat s;
        if (fstatat(dirfd(d), x->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) die(x->d_name);
    }
    closedir(d);
    if (found < 2) die(path);
}

static void rename_file(const work *w, size_t i)
{
    char from[PATH_BYTES], to[PATH_BYTES + 8];
    file_path(w, i, from);
    snprintf(to, sizeof to, "%s.new", from);
    if (rename(from, to) != 0 || rename(to, from) != 0) die(from);
}

static void remove_file(const work *w, size_t i)
{
    char path[PATH_BYTES];
    file_path(w, i, path);
    if (unlink(path) != 0) die(path);
    if ((i + 1) % FILES_IN_FOLDER != 0 && i + 1 != w->files) return;
    folder_path(w, i / FILES_IN_FOLDER, path);
    if (rmdir(path) != 0) die(path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const work *, size_t);
        double operations; /* of each file */
    } steps[] = { { "create", create, 1 }, { "sync", create_synced, 1 }, { "stat", look, 1 },
                  { "restat", look, 1 },   { "read", read_whole, 1 },    { "reread", read_whole, 1 },
                  { "list", list, 1 },     { "rename", rename_file, 2 }, { "remove", remove_file, 1 } };
    enum { STEPS = sizeof steps / sizeof *steps };

    work w = { 0 };
    if (argc > 4) w = (work){ argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), NULL };
    if (w.files == 0 || w.bytes == 0 || w.bytes > BYTES_MAX) {
        fprintf(stderr, "usage: bench_files DIR FILES BYTES STEP ...\n");
        return 2;
    }
    w.block = malloc(w.bytes);
    if (!w.block) die(w.dir);
    memset(w.block, 'x', w.bytes);
    for (int a = 4; a < argc; a++) {
        size_t s = 0;
        while (s < STEPS && strcmp(steps[s].name, argv[a]) != 0) s++;
        if (s == STEPS) {
            fprintf(stderr, "bench_files: there is no step %s\n", argv[a]);
            return 2;
        }
        double from = now();
        for (size_t i = 0; i < w.files; i++) steps[s].run(&w, i);
        printf("%s %.0f\n", steps[s].name, (double)w.files * steps[s].operations / (now() - from));
    }
    free(w.block);
    return 0;
}
