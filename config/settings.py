"""Every setting of Parley. README.md has a table of those that come from the environment; a test compares the two."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from chat import postgresql
from config import __version__
from config.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(Path(os.environ.get("ENV_FILE", BASE_DIR / ".env")))

# The process

VERSION = __version__
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.text("SECRET_KEY")
if not DEBUG and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY must have at least 32 characters when DEBUG is off.")
# Earlier ones: what they have signed stays valid.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "chat",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
]

# config/server/middleware.py runs the methods of Django's own in the event loop.
MIDDLEWARE = [
    "config.security.response_headers",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "config.server.staticfiles.StaticFilesMiddleware",
    "config.security.refuse_nul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chat.sessions.session_lifetime",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "chat.accounts.preferences",
                "chat.accounts.features",
            ],
        },
    },
]

# Data

# A running reply belongs to its process for this long after the process has last renewed the lease.
CHAT_LEASE_SECONDS = env.number("CHAT_LEASE_SECONDS", 6)
DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
DATABASE_POOL = env.number("DATABASE_POOL", 11, least=0)
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Threads are few (config/server/threads.py), so connections may stay open. SQLite checkpoints its write-ahead log
    # whenever the last one closes, which would cost each request some milliseconds.
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["OPTIONS"] = {
        # A deferred transaction that turns into a write fails at once when another writer is ahead, whatever the
        # timeout; an immediate one waits.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["OPTIONS"] = options = {
        # Values do not become part of the statements, which PostgreSQL shows and logs, and need not be quoted for that.
        "server_side_binding": True,
        # Notice within about ten seconds that the server's host has vanished. The kernel takes minutes, and two hours
        # for a connection that waits for an answer.
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        **DATABASES["default"].get("OPTIONS", {}),
    }
    if DATABASE_POOL:
        # Fail fast when the server is down, and reconnect soon.
        options["pool"] = {
            "min_size": 1,
            "max_size": DATABASE_POOL,
            "timeout": 5,
            "reconnect_timeout": 5,
            "check": postgresql.check,
        }
        # A process that falls asleep in a transaction keeps its locks no longer than its leases. Others wait for them a
        # little longer, and give up before the server seems silent: see SILENCE in chat/database.py.
        limits = "-c idle_in_transaction_session_timeout=6s -c lock_timeout=8s"
        options["options"] = f"{limits} {options.get('options', '')}".strip()
    else:
        # With a pooler in between, the next transaction on the connection may be somebody else's.
        DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
# How long people can restore a conversation that they have deleted.
CHAT_TRASH_DAYS = env.number("CHAT_TRASH_DAYS", 30)
# How long after its last question a temporary conversation ends by itself; with 0 there are none.
CHAT_TEMPORARY_HOURS = env.number("CHAT_TEMPORARY_HOURS", 24, least=0)
# How long a file that was made in the background can be fetched.
CHAT_EXPORT_DAYS = env.number("CHAT_EXPORT_DAYS", 3)
# Where replies live while they are written; empty for the database.
REDIS_URL = env.redis_url("REDIS_URL")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    # Attempts to sign in are counted here, by all processes together.
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "chat_cache",
        # What does not fit is dropped at random.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
}

# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.time_zone("TIME_ZONE", "UTC")
USE_TZ = True

# Accounts

AUTH_USER_MODEL = "chat.User"
AUTHENTICATION_BACKENDS = [
    "chat.accounts.AccountBackend",
    # For sessions that name it: those of earlier versions, and of programs that make one. It signs nobody in, as the
    # one before it says no to whom it does not know.
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
CHAT_SIGNUP = env.flag("CHAT_SIGNUP", default=False)
ACCOUNT_ADAPTER = "chat.accounts.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "chat.account_forms.LoginForm",
    "change_password": "chat.account_forms.ChangePasswordForm",
    "reset_password_from_key": "chat.account_forms.ResetPasswordKeyForm",
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_USERNAME_VALIDATORS = "chat.accounts.username_validators"
# Names at sign-up that others would take for the people who run Parley.
ACCOUNT_USERNAME_BLACKLIST = [
    *("admin", "administrator", "help", "info", "moderator", "parley", "postmaster", "root", "security"),
    *("staff", "support", "system", "webmaster"),
]
# Few mails to reset a password, because they go to whatever address somebody types.
ACCOUNT_RATE_LIMITS = {"reset_password": "20/h/ip,5/h/key"}
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
MAILERS = {"default": env.mailer("EMAIL_URL", "consolemail://")}
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Parley] "
# Without a mail server the link would be in the log, and whoever reads that could sign in as anybody.
PASSWORD_RESET = DEBUG or bool(env.text("EMAIL_URL", ""))
PASSWORD_RESET_TIMEOUT = 60 * 60
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Parley <parley@localhost>")

# Security

SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=False)
SECURE_HSTS_SECONDS = env.number("SECURE_HSTS_SECONDS", 0, least=0)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("SECURE_COOKIES", default=not DEBUG)
if SESSION_COOKIE_SECURE:
    # Browsers take a cookie of such a name from this host alone, and only over HTTPS.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    MESSAGE_STORAGE = "config.security.HostMessageStorage"
SESSION_ENGINE = "chat.sessions"
SESSION_COOKIE_AGE = env.number("SESSION_IDLE_HOURS", 14 * 24) * 3600
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "manifest-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
# Keys of the audit record, the newest first; without any, one that follows from SECRET_KEY.
AUDIT_KEYS = env.keys("AUDIT_KEYS")
# Whether reviewers have to say why, before they read what is somebody else's.
CHAT_READ_REASON = env.flag("CHAT_READ_REASON", default=False)
# Whether people see who has read their conversations.
CHAT_SHOW_READERS = env.flag("CHAT_SHOW_READERS", default=False)
CSRF_FAILURE_VIEW = "chat.views.problems.csrf_failure"

# Static files

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / env.text("STATIC_ROOT", ".static")
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "staticfiles.json").exists()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "config.server.staticfiles.HashedStaticFilesStorage"
    },
}

# The model

OPENAI_API_KEY = env.text("OPENAI_API_KEY", "")
OPENAI_BASE_URL = env.http_url("OPENAI_BASE_URL", "https://api.openai.com/v1" if OPENAI_API_KEY else "")
# Without an endpoint the built-in demo model answers.
CHAT_DEMO = not OPENAI_BASE_URL
OPENAI_MODELS = ["demo"] if CHAT_DEMO else env.words("OPENAI_MODEL")
if not OPENAI_MODELS:
    raise ImproperlyConfigured("OPENAI_MODEL is not set. Name the model, or several separated by commas.")
# How a model continues a reply whose process died: not at all, or as its server expects to be asked.
CHAT_CONTINUE = env.choices("CHAT_CONTINUE", OPENAI_MODELS, ("none", "continue_final_message", "prefix", "assistant"))
if CHAT_DEMO:
    CHAT_CONTINUE = {"demo": "assistant"}
CHAT_SYSTEM_PROMPT = env.text("CHAT_SYSTEM_PROMPT", "")
# The demo model can give none.
CHAT_TITLES = env.flag("CHAT_TITLES", default=True) and not CHAT_DEMO
CHAT_TITLE_MODEL = env.text("CHAT_TITLE_MODEL", "")
CHAT_QUESTION_CHARS = env.number("CHAT_QUESTION_CHARS", 32_000)
CHAT_HISTORY_CHARS = env.number("CHAT_HISTORY_CHARS", 120_000)
CHAT_CONNECT_SECONDS = env.number("CHAT_CONNECT_SECONDS", 10)
CHAT_FIRST_PIECE_SECONDS = env.number("CHAT_FIRST_PIECE_SECONDS", 120)
CHAT_GAP_SECONDS = env.number("CHAT_GAP_SECONDS", 60)
CHAT_TOTAL_SECONDS = env.number("CHAT_TOTAL_SECONDS", 1800)
# Don't make developers wait for running replies at a restart.
CHAT_DRAIN_SECONDS = env.number("CHAT_DRAIN_SECONDS", 0 if DEBUG else 10, least=0)

# Limits

CHAT_PERSON_RUNNING = env.number("CHAT_PERSON_RUNNING", 10)
CHAT_PERSON_QUESTIONS = env.number("CHAT_PERSON_QUESTIONS", 30)
CHAT_PERSON_STREAMS = env.number("CHAT_PERSON_STREAMS", 50)
CHAT_PROCESS_RUNNING = env.number("CHAT_PROCESS_RUNNING", 1000)
CHAT_PROCESS_QUEUED = env.number("CHAT_PROCESS_QUEUED", 1000, least=0)
CHAT_REPLY_BYTES = env.number("CHAT_REPLY_BYTES", 1_000_000)
CHAT_UNREAD_BYTES = env.number("CHAT_UNREAD_BYTES", 262_144)
CHAT_UNREAD_SECONDS = env.number("CHAT_UNREAD_SECONDS", 60)
CHAT_BODY_BYTES = DATA_UPLOAD_MAX_MEMORY_SIZE = env.number("CHAT_BODY_BYTES", 1_048_576)

# Operation

CHAT_METRICS = env.flag("CHAT_METRICS", default=False)
CHAT_LOG_JSON = env.flag("CHAT_LOG_JSON", default=False)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            # Developers want to read what went wrong.
            "class": "logging.Formatter" if DEBUG else "chat.logs.LineFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        },
        "json": {"()": "chat.logs.JSONFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json" if CHAT_LOG_JSON else "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Django's own handlers would write each line a second time.
        "django": {"handlers": [], "level": "INFO"},
        # They log the addresses of endpoints.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "aiohttp": {"level": "WARNING"},
        # It logs the server's address at each attempt.
        "psycopg.pool": {"level": "ERROR"},
    },
}
