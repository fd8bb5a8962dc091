"""The words of the sample network: departments, products, brands, cities."""

from __future__ import annotations

from typing import Final, NamedTuple


class Department(NamedTuple):
    """A department and the words its item descriptions are made of."""

    name: str
    products: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[str, ...]


class City(NamedTuple):
    """Where a DC is, and its IANA time zone."""

    name: str
    time_zone: str


DEPARTMENTS: Final = (
    Department(
        "Dry Grocery",
        ("Long Grain Rice", "Penne", "Spaghetti", "Flour", "Red Lentils", "Couscous", "Black Beans"),
        ("Classic", "Organic", "Family Pack", "Premium", "Value"),
        ("16 oz", "24 oz", "2 lb", "5 lb"),
    ),
    Department(
        "Canned Goods",
        ("Diced Tomatoes", "Kidney Beans", "Chickpeas", "Sweet Corn", "Green Beans", "Chicken Soup", "Chili"),
        ("Original", "No Salt Added", "Organic", "Low Sodium", "Hearty"),
        ("8 oz", "10.5 oz", "14.5 oz", "28 oz"),
    ),
    Department(
        "Breakfast",
        ("Corn Flakes", "Rolled Oats", "Granola", "Wheat Squares", "Rice Crisps", "Muesli", "Bran Flakes"),
        ("Original", "Honey", "Organic", "Reduced Sugar", "Family Pack"),
        ("12 oz", "18 oz", "24 oz", "32 oz"),
    ),
    Department(
        "Snacks",
        ("Potato Chips", "Tortilla Chips", "Pretzels", "Popcorn", "Peanuts", "Pita Chips", "Rice Cakes"),
        ("Sea Salt", "Barbecue", "Sour Cream", "Lightly Salted", "Chili Lime"),
        ("1.5 oz", "7 oz", "10 oz", "16 oz"),
    ),
    Department(
        "Beverages",
        ("Cola", "Ginger Ale", "Sparkling Water", "Iced Tea", "Lemonade", "Root Beer", "Sports Drink"),
        ("Original", "Zero Sugar", "Cherry", "Peach", "Lime"),
        ("12 oz", "16.9 oz", "1 L", "2 L"),
    ),
    Department(
        "Confectionery",
        ("Chocolate Bar", "Gummy Bears", "Mint Drops", "Caramels", "Licorice", "Toffee", "Wafer Bar"),
        ("Classic", "Assorted", "Sugar Free", "Mini", "Sharing Bag"),
        ("1.4 oz", "3.5 oz", "8 oz", "14 oz"),
    ),
    Department(
        "Dairy",
        ("Greek Yogurt", "Cheddar", "Mozzarella", "Butter", "Cottage Cheese", "Half and Half", "Cream Cheese"),
        ("Original", "Low Fat", "Organic", "Lactose Free", "Family Size"),
        ("5.3 oz", "8 oz", "16 oz", "32 oz"),
    ),
    Department(
        "Deli",
        ("Smoked Turkey", "Black Forest Ham", "Salami", "Roast Beef", "Pastrami", "Chicken Breast", "Bologna"),
        ("Traditional", "Thin Sliced", "Reduced Sodium", "Peppered", "Honey Glazed"),
        ("7 oz", "9 oz", "12 oz", "16 oz"),
    ),
    Department(
        "Frozen",
        ("Green Peas", "Cheese Pizza", "Vanilla Ice Cream", "Fish Sticks", "French Fries", "Waffles", "Mixed Berries"),
        ("Classic", "Family Size", "Organic", "Gluten Free", "Value Pack"),
        ("10 oz", "16 oz", "24 oz", "48 oz"),
    ),
    Department(
        "Household",
        (
            "Laundry Detergent",
            "Dish Soap",
            "Glass Cleaner",
            "Floor Cleaner",
            "Bathroom Cleaner",
            "Bleach",
            "Fabric Softener",
        ),
        ("Fresh Scent", "Free & Clear", "Lemon", "Heavy Duty", "Lavender"),
        ("16 oz", "28 oz", "64 oz", "100 oz"),
    ),
    Department(
        "Paper Goods",
        ("Paper Towels", "Bath Tissue", "Napkins", "Facial Tissue", "Paper Plates", "Table Covers", "Guest Towels"),
        ("Everyday", "Ultra Soft", "Strong", "Recycled", "Printed"),
        ("4 ct", "6 ct", "12 ct", "80 ct"),
    ),
    Department(
        "Health & Beauty",
        ("Shampoo", "Conditioner", "Body Wash", "Hand Soap", "Lotion", "Sunscreen", "Face Wash"),
        ("Daily", "Sensitive", "Aloe", "Moisturizing", "Unscented"),
        ("3 oz", "6.4 oz", "12 oz", "25 oz"),
    ),
)

BRANDS: Final = (
    *("Alder Creek", "Ashford", "Bellwether", "Birchline", "Blue Heron", "Bramble Hill", "Calder", "Cedar & Rye"),
    *("Copperfield", "Dunmore", "Eastwind", "Fairhaven", "Fernwood", "Granite Bay", "Halden", "Hartwell"),
    *("Juniper", "Kingsley", "Lakemont", "Marlow", "Northgate", "Old Mill", "Pinecrest", "Quarry Lane"),
    *("Redwood", "Sable Point", "Silverbrook", "Thornbury", "Westmark", "Yarrow"),
)
COMPANIES: Final = ("Brands", "Trading", "Supply", "Partners", "Industries", "Group")

SITES: Final = (
    City("Allentown", "America/New_York"),
    City("Joliet", "America/Chicago"),
    City("Fort Worth", "America/Chicago"),
    City("Reno", "America/Los_Angeles"),
    City("Lakeland", "America/New_York"),
    City("Denver", "America/Denver"),
    City("Phoenix", "America/Phoenix"),
    City("Columbus", "America/New_York"),
    City("Memphis", "America/Chicago"),
    City("Stockton", "America/Los_Angeles"),
    City("Savannah", "America/New_York"),
    City("Kansas City", "America/Chicago"),
    City("Salt Lake City", "America/Denver"),
    City("Tacoma", "America/Los_Angeles"),
    City("Greensboro", "America/New_York"),
    City("Louisville", "America/Kentucky/Louisville"),
)
