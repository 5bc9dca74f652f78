#include "questions/word_lists.h"

#include <sstream>

namespace lococo {
namespace {

// Common nouns by what they name. Within all of them no word is part of another, so that a word
// which is found in an answer was meant.
struct NamedWords {
  const char* name;
  const char* words;
};

constexpr NamedWords kCategories[] = {
    {"animal",
     "badger otter heron falcon weasel beaver donkey camel lizard tortoise squirrel hedgehog "
     "sparrow pigeon raven swallow salmon trout lobster oyster spider beetle cricket hornet "
     "buffalo giraffe leopard panther gorilla dolphin penguin pelican peacock partridge rooster "
     "kitten puppy pony zebra walrus"},
    {"food",
     "bread butter cheese honey mustard pepper vinegar cabbage carrot turnip onion lentil celery "
     "pumpkin cucumber spinach biscuit pancake pudding porridge sausage bacon custard marmalade "
     "chocolate cinnamon ginger almond walnut raisin apricot cherry lemon melon peach grape banana "
     "pastry dumpling omelette"},
    {"tool",
     "hammer chisel pliers anvil shovel sickle scythe hatchet wrench mallet drill bellows trowel "
     "crowbar pulley tongs tweezers scissors needle thimble spindle plough rake hoe wedge lathe "
     "sander spade whetstone ladle corkscrew sieve funnel crucible compass sextant telescope "
     "barometer abacus stapler"},
    {"garment",
     "jacket bonnet apron mitten stocking slipper sandal trousers waistcoat petticoat corset "
     "cloak shawl scarf kerchief turban sombrero helmet visor collar sleeve cuff buckle garter "
     "sweater blouse skirt tunic kimono poncho overcoat pyjamas legging gauntlet moccasin veil "
     "sash "
     "tuxedo dungarees cardigan"},
    {"furniture",
     "cupboard wardrobe bookcase cradle mattress pillow bolster curtain carpet hammock stool "
     "armchair sofa footrest lectern sideboard dresser bureau cabinet shelf mirror chandelier "
     "candlestick lantern lampshade doormat bedstead settee throne divan trestle hassock hatstand "
     "fender tapestry cushion workbench highchair nightstand partition"},
    {"instrument",
     "violin cello fiddle trumpet trombone bassoon clarinet flute oboe piccolo bagpipe accordion "
     "harmonica balalaika sitar mandolin banjo guitar zither cymbal tambourine drum xylophone gong "
     "triangle organ piano harpsichord bugle whistle castanets ukulele tuba recorder saxophone "
     "dulcimer kazoo marimba rattle lyre"},
    {"plant",
     "daisy violet tulip lily poppy marigold primrose lavender jasmine heather thistle nettle "
     "clover bracken ivy willow poplar maple chestnut juniper cypress hawthorn mistletoe holly "
     "rosemary parsley thyme basil cactus bamboo orchid begonia dandelion foxglove bluebell "
     "hyacinth magnolia rhubarb sycamore moss"},
    {"vehicle",
     "wagon carriage chariot sledge barge canoe schooner frigate dinghy ferry tugboat raft "
     "gondola kayak tractor lorry bicycle tricycle scooter omnibus locomotive tram balloon "
     "airship glider helicopter rocket submarine stagecoach wheelbarrow rickshaw ambulance "
     "bulldozer hearse lifeboat yacht galleon buggy caravan toboggan"},
    {"treasure",
     "ruby emerald sapphire diamond amber pearl opal topaz garnet turquoise bracelet necklace "
     "brooch pendant locket crown tiara sceptre goblet chalice medal coin doubloon ingot statue "
     "figurine amulet talisman cameo signet jade coral ivory porcelain silver platinum crystal "
     "mosaic enamel heirloom"},
    {"building",
     "cottage castle cathedral chapel monastery lighthouse windmill granary stable bakery tannery "
     "brewery foundry library museum theatre hospital prison palace pavilion pagoda pyramid "
     "bridge tunnel aqueduct fortress warehouse observatory greenhouse orphanage tavern "
     "courthouse townhall barracks cinema gymnasium boathouse hangar dovecote quarry"},
    {"occupation",
     "barber butcher tailor cobbler weaver carpenter mason plumber glazier blacksmith saddler "
     "miller forester gardener shepherd fisherman sailor soldier postman teacher doctor nurse "
     "dentist lawyer judge librarian painter sculptor notary juggler acrobat butler coachman "
     "chauffeur milkman sexton surgeon optician jeweller pilot"},
    {"vessel",
     "kettle teapot saucer tumbler pitcher carafe flask bottle barrel bucket basin cauldron "
     "saucepan "
     "skillet platter tureen casserole basket hamper suitcase trunk satchel knapsack purse wallet "
     "envelope parcel crate canister thermos jar vase amphora beaker decanter cistern bathtub "
     "washbowl pouch inkwell"},
};

constexpr const char* kAdjectives =
    "angry ancient awkward barren bitter blunt bold brave brief bright brisk broken bronze calm "
    "careful charming cheerful chilly clever clumsy coarse copper costly cosy crimson crooked "
    "cruel curious damp daring dark deaf dear deep dense dim distant drowsy dull dusty eager "
    "early elegant empty faded faint fancy fearless fierce fiery flat foggy foolish fragile frail "
    "fresh frosty frozen gallant gentle giant gilded glad gloomy golden graceful grand grateful "
    "grave greedy green grim handsome hasty heavy hidden hollow honest humble hungry icy idle "
    "jolly joyful keen kind lame large lazy lively lofty lonely loud loyal lucky mellow merry "
    "mighty mild misty modest muddy narrow neat nervous nimble noble noisy odd pale patient plain "
    "pleasant polite proud purple quaint quick quiet rapid rare reckless restless rough round "
    "royal rusty sacred scarlet secret serious shabby shady sharp shiny short shy silent simple "
    "sleepy slender slow smooth sober soft solemn sour stately steady steep sticky stiff stout "
    "strange strong stubborn sturdy subtle sudden sunny sweet swift tall tame tender thick thin "
    "thirsty tidy timid tired tiny tough tranquil upright vast velvet vivid wandering warm weary "
    "weird wet wicked wide wild wise witty wooden woollen yellow young";

constexpr const char* kFirstNames =
    "Abner Adela Agatha Alban Albert Alma Ambrose Anselm Arabella Archibald Astrid Augusta Barnaby "
    "Basil Beatrix Benedict Bernard Bertha Blanche Boris Bridget Bruno Camilla Casper Cecily "
    "Celia Clarence Clemens Conrad Cordelia Cornelius Cyril Damian Daphne Delia Desmond Dorothea "
    "Edgar Edmund Edwin Elias Elvira Emeric Enid Ernest Esther Eugene Euphemia Fabian Felicity "
    "Felix Ferdinand Fergus Fiona Flora Floyd Gareth Georgina Gerald Gilbert Godfrey Greta "
    "Griselda Gustav Hannah Harriet Hector Hedwig Hermann Hilda Horace Hubert Ida Ignatius Imogen "
    "Ingrid Irving Isidore Ivan Jasper Jerome Joachim Josepha Judith Julius Justina Kasimir "
    "Kirsten "
    "Lambert Laurence Leander Leonora Leopold Linus Lionel Lorenz Lucinda Ludwig Luther Mabel "
    "Magnus Malcolm Marcella Matilda Maurice Maximilian Melchior Mildred Millicent Minerva Miriam "
    "Mortimer Muriel Nadia Nathaniel Nestor Nigel Noel Norbert Octavia Odette Oliver Ophelia "
    "Orlando "
    "Osbert Oscar Oswald Ottilie Patience Penelope Percival Philippa Phoebe Quentin Rafael Ramona "
    "Regina Reuben Roderick Roland Rosalind Rowena Rudolf Rufus Sabina Selma Seraphina Sidney "
    "Silas Sigmund Sybil Tabitha Thaddeus Theodora Tobias Ursula Valentine Vera Victor Vincent "
    "Viola Waldemar Wanda Wilfred Winifred Xavier Yvonne Zelda";

constexpr const char* kSurnames =
    "Abbotsley Aldercott Applegarth Ashdown Babbington Barrowclough Battersby Beckwith Bellweather "
    "Birkenhead Blackmore Blenkinsop Bracegirdle Bramley Brindlecombe Broadbent Buckthorn Calloway "
    "Carruthers Chadwick Cheeseman Clutterbuck Cobbledick Colquhoun Copperfield Crabtree "
    "Cranshaw Culpepper Dalrymple Dankworth Darlington Dewhurst Dingle Dobson Drinkwater Duckett "
    "Eastbrook Eckersley Elphinstone Enderby Entwistle Fairweather Farnsworth Featherstone "
    "Fensome Figgis Fothergill Fotheringham Gaunt Gillespie Goldthorpe Goodenough Grimshaw "
    "Grubb Hathersage Hardcastle Hargreaves Haversham Hebblethwaite Heppenstall Higginbotham "
    "Hollingberry Huckaby Inglethorpe Ironmonger Jellicoe Jessop Kettlewell Kilburn Knatchbull "
    "Lancaster Lambton Larkspur Leadbetter Ledgerwood Liddell Longbottom Lovejoy Lumley "
    "Mallory Mapplethorpe Marchbanks Meadowcroft Merriweather Micklewhite Mossop Muggeridge "
    "Nettleship Nightingale Ockley Oglethorpe Ollerenshaw Osgood Padgett Peabody Pemberton "
    "Pennyfeather Pettigrew Pickersgill Pilkington Poskitt Prendergast Quarrington Quilter "
    "Ramsbottom Ravenscroft Redfern Rickaby Rosewarne Rowbottom Sandringham Scattergood Shackleton "
    "Shufflebottom Sidebotham Silverwood Snodgrass Sowerby Stackpole Summerfield Sutcliffe "
    "Swithinbank Tattersall Thistlethwaite Threlfall Tiddeman Trelawney Trundle Tuppence "
    "Twelvetrees "
    "Underhill Upjohn Vandermeer Vickers Wainwright Waterhouse Weatherby Whittaker Wigglesworth "
    "Winterbourne Wolstenholme Woolley Wrigglesworth Yarborough Younghusband";

constexpr const char* kPlaces =
    "Aberdeen Adelaide Alexandria Algiers Amsterdam Ankara Antwerp Athens Baghdad Baltimore "
    "Bangkok "
    "Barcelona Basel Beirut Belfast Belgrade Bergen Berlin Bilbao Bogota Bologna Bombay Bordeaux "
    "Boston Bremen Brisbane Bristol Brussels Bucharest Budapest Cairo Calcutta Canberra Caracas "
    "Cardiff Casablanca Chicago Cologne Copenhagen Cordoba Dakar Damascus Delhi Denver Dresden "
    "Dublin Durban Edinburgh Florence Frankfurt Geneva Genoa Ghent Glasgow Granada Hamburg Hanoi "
    "Havana Helsinki Houston Istanbul Jakarta Jerusalem Karachi Kiev Kyoto Lagos Leipzig Lima "
    "Lisbon Liverpool Lyon Madrid Malaga Manila Marseille Melbourne Memphis Milan Montreal Moscow "
    "Munich Nairobi Naples Nashville Odessa Osaka Oslo Ottawa Palermo Panama Philadelphia Pisa "
    "Prague Quito Riga Rotterdam Salzburg Santiago Sarajevo Seattle Seville Shanghai Singapore "
    "Sofia "
    "Stockholm Stuttgart Sydney Tallinn Tangier Tbilisi Tehran Tokyo Toledo Toronto Trieste "
    "Tripoli "
    "Tunis Turin Utrecht Valencia Vancouver Venice Verona Vienna Vilnius Warsaw Zagreb Zurich";

std::vector<std::string> words_of(const char* text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

const std::vector<std::string>& all_of(WordList list) {
  static const auto nouns = [] {
    std::vector<std::string> all;
    for (const auto& category : noun_categories()) {
      all.insert(all.end(), category.words.begin(), category.words.end());
    }
    return all;
  }();
  static const auto adjectives = words_of(kAdjectives);
  static const auto first_names = words_of(kFirstNames);
  static const auto surnames = words_of(kSurnames);
  static const auto places = words_of(kPlaces);
  switch (list) {
    case WordList::kNouns:
      return nouns;
    case WordList::kAdjectives:
      return adjectives;
    case WordList::kFirstNames:
      return first_names;
    case WordList::kSurnames:
      return surnames;
    case WordList::kPlaces:
      break;
  }
  return places;
}

}  // namespace

std::vector<std::string> part_of(const std::vector<std::string>& words, Split split) {
  std::vector<std::string> part;
  for (size_t i = 0; i < words.size(); ++i) {
    const Split owner = i % 5 < 3 ? Split::kTrain : i % 5 == 3 ? Split::kValidation : Split::kTest;
    if (owner == split) part.push_back(words[i]);
  }
  return part;
}

const std::vector<std::string>& words_of(WordList list, Split split) {
  using Parts = std::array<std::array<std::vector<std::string>, kNumSplits>, kNumWordLists>;
  static const Parts parts = [] {
    Parts all;
    for (size_t l = 0; l < kNumWordLists; ++l) {
      for (size_t s = 0; s < kNumSplits; ++s) {
        all[l][s] = part_of(all_of(static_cast<WordList>(l)), static_cast<Split>(s));
      }
    }
    return all;
  }();
  return parts[static_cast<size_t>(list)][static_cast<size_t>(split)];
}

const std::vector<Category>& noun_categories() {
  static const std::vector<Category> categories = [] {
    std::vector<Category> all;
    for (const NamedWords& named : kCategories) all.push_back({named.name, words_of(named.words)});
    return all;
  }();
  return categories;
}

}  // namespace lococo
