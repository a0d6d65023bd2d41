/* SPDX-License-Identifier: MIT */
/* What libfuse and fusermount3 will ask is asked here beforehand: libfuse opens
 * /dev/fuse and calls mount(2) itself, and only when that is forbidden it runs
 * the setuid fusermount3, which wants the mount point to be the user's to write
 * to.  Whatever may hang is asked in a child. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "bounded.h"
#include "draft/archive.h"
#include "mountpoint.h"

#define PROBE_MS       3000
#define MAX_FILE_BYTES (64 * 1024)

DEFINE_CLEANUP(FILE, fclose)

/* A path of the system's, below root. */
static const char *under_root(const struct doctor *d, const char *path, char text[PATH_MAX])
{
	snprintf(text, PATH_MAX, "%s%s", d->root, path);
	return text;
}

/* ---- the kernel and fusermount3 ---- */

static void check_device(struct doctor *d)
{
	static const char name[] = "/dev/fuse";
	char path[PATH_MAX];
	struct stat st;

	if (stat(under_root(d, name, path), &st) < 0 || !S_ISCHR(st.st_mode)) {
		doctor_say(d, DOCTOR_FAIL, name,
			   "not there; load the module (modprobe fuse), or give the container "
			   "the device (--device /dev/fuse)");
		return;
	}
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		doctor_say(d, DOCTOR_FAIL, name, "%s; its mode should be 0666", strerror(errno));
		return;
	}
	close(fd);
	doctor_say(d, DOCTOR_OK, name, "there, and may be opened");
}

/* Whether this process may mount by itself. */
static bool may_mount(const struct doctor *d)
{
	char path[PATH_MAX], line[128];
	CLEANUP(fclosep) FILE *f = fopen(under_root(d, "/proc/self/status", path), "re");

	while (f && fgets(line, sizeof(line), f)) {
		static const char key[] = "CapEff:\t";
		size_t len = strcspn(line, "\n");
		size_t digit = len - 1 - CAP_SYS_ADMIN / 4;

		if (strncmp(line, key, strlen(key)) != 0 || len < strlen(key) + 8)
			continue;
		/* Hexadecimal, the lowest four bits last: bit 21 is one of the sixth's. */
		const char *hex = strchr("0123456789abcdef", line[digit]);
		return hex && ((hex - "0123456789abcdef") & 1 << CAP_SYS_ADMIN % 4);
	}
	return false;
}

/* Where execvp(3) would find it; NULL: nowhere. */
static const char *find_program(const char *name, char path[PATH_MAX])
{
	const char *dir = getenv("PATH");

	if (!dir || !*dir)
		dir = "/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(dir, ":");

		snprintf(path, PATH_MAX, "%.*s/%s", (int)len, dir, name);
		if (len && access(path, X_OK) == 0)
			return path;
		if (!dir[len])
			return NULL;
		dir += len + 1;
	}
}

static void check_helper(struct doctor *d)
{
	static const char name[] = "fusermount3";
	char path[PATH_MAX];
	const char *found = find_program(name, path);
	struct stat st;

	if (d->uid == 0) {
		if (may_mount(d))
			doctor_say(d, DOCTOR_OK, name, "not needed by root");
		else
			doctor_say(d, DOCTOR_FAIL, name,
				   "of no use: root may not mount here; give the container "
				   "CAP_SYS_ADMIN");
		return;
	}
	if (!found)
		doctor_say(d, DOCTOR_FAIL, name, "not found; install it (apt install fuse3)");
	else if (stat(found, &st) < 0 || st.st_uid != 0 || !(st.st_mode & S_ISUID))
		doctor_say(d, DOCTOR_FAIL, name,
			   "%s: not setuid root, so that only root may mount; install fuse3 anew",
			   found);
	else
		doctor_say(d, DOCTOR_OK, name, "%s, setuid root", found);
}

/* ---- allow_other ---- */

static bool asks_others_in(const struct options *o)
{
	for (int i = 0; i < o->fuse_argc; i++)
		if (strcmp(o->fuse_argv[i], "-oallow_other") == 0 ||
		    strcmp(o->fuse_argv[i], "-oallow_root") == 0)
			return true;
	return false;
}

/* fusermount3 takes blanks round a line off, and a '#' begins a comment. */
static bool has_line(const char *path, const char *wanted)
{
	CLEANUP(fclosep) FILE *f = fopen(path, "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		const char *text = line + strspn(line, " \t");
		size_t len = strcspn(text, "#\n");

		while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
			len--;
		if (len == strlen(wanted) && strncmp(text, wanted, len) == 0)
			return true;
	}
	return false;
}

static void check_allow_other(struct doctor *d)
{
	static const char name[] = "allow_other";
	char path[PATH_MAX];

	if (!asks_others_in(d->options))
		doctor_say(d, DOCTOR_OK, name, "not asked for");
	else if (d->uid == 0)
		doctor_say(d, DOCTOR_OK, name, "root may always let others in");
	else if (has_line(under_root(d, "/etc/fuse.conf", path), "user_allow_other"))
		doctor_say(d, DOCTOR_OK, name, "/etc/fuse.conf has user_allow_other");
	else
		doctor_say(d, DOCTOR_FAIL, name,
			   "only root may; or add the line user_allow_other to /etc/fuse.conf");
}

/* ---- the mount point ---- */

/* What the child finds out. */
struct place {
	mode_t mode;
	uid_t owner;
	bool writable, empty;
	char path[PATH_MAX]; /* absolute */
};

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	bool empty = true;

	while (dir && empty && (e = readdir(dir)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (dir)
		closedir(dir);
	return empty;
}

static int look_in_child(void *arg, struct buf *out)
{
	struct place place;
	struct stat st;

	memset(&place, 0, sizeof(place)); /* it goes through a pipe, padding too */
	if (stat(arg, &st) < 0 || !realpath(arg, place.path))
		return -errno;
	place.mode = st.st_mode;
	place.owner = st.st_uid;
	place.writable = access(arg, W_OK) == 0;
	place.empty = is_empty(arg);
	return buf_append(out, &place, sizeof(place));
}

static int look(const char *path, struct place *ret)
{
	return bounded_get(look_in_child, (void *)path, PROBE_MS, ret, sizeof(*ret));
}

static const char mount_point[] = "mount point";

/* A mount of stacksfs just there. */
static void say_mount(struct doctor *d, const struct mountpoint *mount)
{
	switch (mount->state) {
	case MOUNTPOINT_LIVE:
		doctor_say(d, DOCTOR_FAIL, mount_point,
			   "%s: mounted already (stacksfs status tells more); to unmount: "
			   "fusermount3 -u %s",
			   mount->path, mount->path);
		return;
	case MOUNTPOINT_DEAD:
		doctor_say(d, DOCTOR_NOTE, mount_point,
			   "%s: a dead mount of stacksfs; mounting clears it", mount->path);
		return;
	case MOUNTPOINT_HUNG:
		doctor_say(d, DOCTOR_FAIL, mount_point,
			   "%s: a stacksfs that does not answer; kill it or: fusermount3 -u -z %s",
			   mount->path, mount->path);
		return;
	}
}

static void say_unreachable(struct doctor *d, const char *path, int err)
{
	CLEANUP(mountpoint_done) struct mountpoint mount = { 0 };
	struct message why;

	if (err == -ENOENT)
		doctor_say(d, DOCTOR_FAIL, mount_point, "%s: not there; make it: mkdir -p %s", path,
			   path);
	else if (err != -ENOTCONN && err != -ECONNABORTED && err != -ETIMEDOUT)
		doctor_say(d, DOCTOR_FAIL, mount_point, "%s: %s", path, strerror(-err));
	else if (mountpoint_lookup(path, &mount, &why) == 0)
		say_mount(d, &mount);
	else
		doctor_say(d, DOCTOR_FAIL, mount_point,
			   "%s: another program's mount, which is dead or does not answer; clear "
			   "it: fusermount3 -u -z %s",
			   path, path);
}

/* Whether stacksfs is mounted just there; then that is said.  The kernel may
 * answer for a mount that is dead, hence not only for such as cannot be reached. */
static bool is_taken(struct doctor *d, const struct place *place)
{
	CLEANUP(mountpoint_done) struct mountpoint mount = { 0 };
	struct message why;

	if (mountpoint_lookup(place->path, &mount, &why) < 0 ||
	    strcmp(mount.path, place->path) != 0)
		return false;
	say_mount(d, &mount);
	return true;
}

static void check_place(struct doctor *d, const struct place *place)
{
	if (!S_ISDIR(place->mode))
		doctor_say(d, DOCTOR_FAIL, mount_point, "%s: not a directory", place->path);
	else if (strcmp(place->path, "/") == 0)
		doctor_say(d, DOCTOR_FAIL, mount_point, MOUNTPOINT_IS_ROOT);
	else if (is_taken(d, place))
		return;
	else if (d->uid != 0 && (place->mode & S_ISVTX) && place->owner != d->uid)
		doctor_say(
			d, DOCTOR_FAIL, mount_point,
			"%s: another user's (uid %u), with the sticky bit: fusermount3 refuses it",
			place->path, place->owner);
	else if (d->uid != 0 && !place->writable)
		doctor_say(d, DOCTOR_FAIL, mount_point,
			   "%s: not writable by you (it is uid %u's): fusermount3 refuses it",
			   place->path, place->owner);
	else if (!place->empty)
		doctor_say(d, DOCTOR_NOTE, mount_point,
			   "%s: not empty; what is in it is hidden until the unmount", place->path);
	else
		doctor_say(d, DOCTOR_OK, mount_point, "%s: an empty directory", place->path);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return len > 1 && strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* The profile that Ubuntu has brought since 24.10 lets fusermount3 mount in
 * these places only; others may differ, hence no more than a note. */
static void check_apparmor(struct doctor *d, const struct place *place)
{
	static const char *const places[] = { "/mnt", "/media", "/tmp", "/run/user", "/cvmfs" };
	static const char name[] = "AppArmor";
	char enabled[PATH_MAX], profile[PATH_MAX], disabled[PATH_MAX];
	const char *home = getenv("HOME");
	bool fits = home && is_below(place->path, home);

	if (d->uid == 0)
		return; /* libfuse mounts without fusermount3 */
	under_root(d, "/etc/apparmor.d/fusermount3", profile);
	under_root(d, "/etc/apparmor.d/disable/fusermount3", disabled);
	if (!has_line(under_root(d, "/sys/module/apparmor/parameters/enabled", enabled), "Y") ||
	    access(profile, F_OK) < 0 || access(disabled, F_OK) == 0) {
		doctor_say(d, DOCTOR_OK, name, "has no profile for fusermount3");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		fits = fits || is_below(place->path, places[i]);
	if (fits)
		doctor_say(d, DOCTOR_OK, name, "its profile for fusermount3 allows such a place");
	else
		doctor_say(d, DOCTOR_NOTE, name,
			   "its profile for fusermount3 may allow mounts only below your home, "
			   "/mnt, /media and /tmp; to allow more: "
			   "/etc/apparmor.d/local/fusermount3");
}

static void check_mount_point(struct doctor *d)
{
	const char *path = d->options->mountpoint;
	struct place place;

	if (!path) {
		doctor_say(d, DOCTOR_SKIP, mount_point, "none given");
		return;
	}
	int r = look(path, &place);
	if (r < 0) {
		say_unreachable(d, path, r);
		return;
	}
	check_place(d, &place);
	check_apparmor(d, &place);
}

/* ---- the state directory ---- */

/* The nearest directory above path that there is; path itself if there is. */
static void find_existing(const char *path, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s", path);
	while (access(ret, F_OK) < 0 && errno == ENOENT) {
		char *slash = strrchr(ret, '/');

		if (!slash || slash == ret) {
			snprintf(ret, PATH_MAX, "/");
			return;
		}
		*slash = '\0';
	}
}

static void check_state_dir(struct doctor *d, const char *dir)
{
	static const char name[] = "state";
	char existing[PATH_MAX], why[ARCHIVE_WHY_BYTES];
	struct stat st;

	find_existing(dir, existing);
	bool there = strcmp(existing, dir) == 0;
	if (stat(existing, &st) < 0 || !S_ISDIR(st.st_mode))
		doctor_say(d, DOCTOR_FAIL, name,
			   "%s: not a directory; give -o state=DIR, or state=none", existing);
	else if (!there && access(existing, W_OK | X_OK) < 0)
		doctor_say(d, DOCTOR_FAIL, name, "%s: %s; give -o state=DIR, or state=none",
			   existing, strerror(errno));
	else if (there && (st.st_mode & (S_IWGRP | S_IWOTH)))
		doctor_say(d, DOCTOR_FAIL, name, "%s: others can write to it; run: chmod 700 %s",
			   dir, dir);
	else if (there && st.st_uid != geteuid())
		doctor_say(d, DOCTOR_FAIL, name, "%s: another user's (uid %u); give -o state=DIR",
			   dir, st.st_uid);
	else if (there && archive_check(dir, why) < 0)
		doctor_say(d, DOCTOR_FAIL, name, "%s; give -o state=DIR, or state=none", why);
	else
		doctor_say(d, DOCTOR_OK, name, "%s%s", dir, there ? "" : ", to be made");
}

static void check_state(struct doctor *d)
{
	const struct options *o = d->options;
	char dir[PATH_MAX];

	if (o->ro || (o->state && strcmp(o->state, "none") == 0)) {
		doctor_say(d, o->ro ? DOCTOR_OK : DOCTOR_NOTE, "state",
			   o->ro ? "nothing is written, so nothing is kept"
				 : "none: no history, and refused texts are lost with the mount");
		return;
	}
	if (!o->state && archive_default_dir(dir) < 0) {
		doctor_say(
			d, DOCTOR_FAIL, "state",
			"no home for history and refused texts; give -o state=DIR, or state=none");
		return;
	}
	check_state_dir(d, o->state ? o->state : dir);
}

void doctor_check_machine(struct doctor *d)
{
	check_device(d);
	check_helper(d);
	check_allow_other(d);
	check_mount_point(d);
	check_state(d);
}
