"""The admin's users, groups and addresses: who may change whom, and what a list may be filtered by."""

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import CharField, TextField
from django.urls import reverse

from chat.models import User
from tests.client import Client
from tests.test_admin import page

ENDLESS = "(a+)+$"


@pytest.fixture
def uma(db: None) -> User:
    """Staff: she looks after the accounts, without being a superuser."""
    uma = User.objects.create_user("uma", password="uma's password", is_staff=True)
    uma.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["auth", "account"]))
    uma.user_permissions.add(*Permission.objects.filter(codename__endswith="_user"))
    return uma


@pytest.fixture
def manager(client: Client, uma: User) -> Client:
    """Uma's browser."""
    client.force_login(uma)
    return client


def change(user: User) -> str:
    return reverse("admin:chat_user_change", args=[user.pk])


def fields(user: User, **changed: object) -> dict[str, object]:
    """The form of a user's page, as a browser sends it."""
    joined = f"{user.date_joined:%Y-%m-%d}"
    plain = {"username": user.username, "email": user.email, "date_joined_0": joined, "date_joined_1": "12:00:00"}
    return {**plain, "is_active": "on", **changed}


# Lookups

# Some have no list, only addresses of their own.
LISTED = [
    model
    for model, its_admin in admin.site._registry.items()
    if any((url.name or "").endswith("_changelist") for url in its_admin.get_urls())
]


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.__name__)
def test_no_list_takes_a_regular_expression_from_the_address(client: Client, sam: User, model: type) -> None:
    client.force_login(sam)
    options = model._meta  # type: ignore[attr-defined]
    url = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    texts = [field.name for field in options.local_fields if isinstance(field, CharField | TextField)]
    for lookup in [f"{text}__{kind}" for text in texts for kind in ("regex", "startswith", "contains")]:
        assert client.get(url, {lookup: ENDLESS}).status_code == 400


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.__name__)
def test_every_link_of_a_filter_works(client: Client, sam: User, model: type) -> None:
    Group.objects.create(name="Readers")
    client.force_login(sam)
    options = model._meta  # type: ignore[attr-defined]
    url = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    changes = client.get(url).context["cl"]
    for specification in changes.filter_specs:
        for choice in specification.choices(changes):
            # A form instead of choices has a link that takes its value away.
            assert client.get(url + str(choice.get("query_string") or choice["clear"])).status_code == 200


# Rights


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_only_superusers_give_rights(manager: Client, uma: User, alice: User, right: str) -> None:
    readers = Group.objects.create(name="Readers")
    for user in (uma, alice):
        manager.post(change(user), fields(user, **{right: "on", "groups": readers.pk, "user_permissions": 1}))
        user.refresh_from_db()
        assert not user.is_superuser
        assert user.is_staff == (user == uma)
        assert not user.groups.exists()
    assert not alice.user_permissions.exists()


def test_a_manager_changes_ordinary_accounts(manager: Client, alice: User) -> None:
    assert manager.post(change(alice), fields(alice, email="a@example.org")).status_code == 302
    alice.refresh_from_db()
    assert alice.email == "a@example.org"
    password = reverse("admin:auth_user_password_change", args=[alice.pk])
    chosen = {"password1": "a better one", "password2": "a better one", "usable_password": "true"}
    assert manager.post(password, chosen).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("a better one")


@pytest.mark.parametrize("is_superuser", [True, False])
def test_a_manager_does_not_touch_other_staff(manager: Client, bob: User, is_superuser: bool) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=not is_superuser, is_superuser=is_superuser)
    assert manager.post(change(bob), fields(bob, username="robert")).status_code == 403
    assert manager.get(reverse("admin:auth_user_password_change", args=[bob.pk])).status_code == 403
    assert manager.post(reverse("admin:chat_user_delete", args=[bob.pk]), {"post": "yes"}).status_code == 403
    several = {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"}
    assert manager.post(reverse("admin:chat_user_changelist"), several).status_code == 403
    assert User.objects.get(pk=bob.pk).username == "bob"


def test_a_manager_may_look_at_staff(manager: Client, sam: User) -> None:
    assert "sam@example.org" in page(manager, change(sam))


def test_a_superuser_gives_rights(client: Client, sam: User, alice: User) -> None:
    client.force_login(sam)
    assert client.post(change(alice), fields(alice, is_staff="on", is_superuser="on")).status_code == 302
    alice.refresh_from_db()
    assert alice.is_staff
    assert alice.is_superuser


def test_only_superusers_change_groups_and_addresses(manager: Client, sam: User) -> None:
    group = Group.objects.create(name="Readers")
    page(manager, reverse("admin:auth_group_change", args=[group.pk]))
    refused = {"name": "Everything", "permissions": [permission.pk for permission in Permission.objects.all()]}
    assert manager.post(reverse("admin:auth_group_change", args=[group.pk]), refused).status_code == 403
    address = {"user": sam.pk, "email": "uma@example.org", "verified": "on"}
    assert manager.post(reverse("admin:account_emailaddress_add"), address).status_code == 403
    assert not EmailAddress.objects.exists()


# Passwords


def test_the_admin_changes_passwords_on_the_limited_page(manager: Client) -> None:
    for answer in (manager.get("/admin/password_change/"), manager.post("/admin/password_change/")):
        assert answer.status_code == 302
        assert answer["Location"] == reverse("account_change_password")


def test_old_passwords_are_tried_only_so_often(manager: Client) -> None:
    guess = {"oldpassword": "a guess", "password1": "a better one", "password2": "a better one"}
    answers = [manager.post(reverse("account_change_password"), guess).status_code for _ in range(10)]
    assert answers[-1] == 429
